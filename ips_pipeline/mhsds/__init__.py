"""The Mental Health Services Data Set as data, and the reader that types it."""
