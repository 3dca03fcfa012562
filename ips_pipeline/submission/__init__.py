"""The return as the portal knows it: when its windows are, who signs it off, what is sent, and what comes back."""
