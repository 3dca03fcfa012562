"""What Airflow has to know before it reads the DAGs: the deadline of a submission window. Named by AIRFLOW__CORE__PLUGINS_FOLDER."""

from airflow.plugins_manager import AirflowPlugin

from dags.windows import ClosingWindow


class Ips(AirflowPlugin):
    """The plugin of the pipeline's DAGs."""

    name = "ips"
    deadline_references = [ClosingWindow]  # noqa: RUF012 - Airflow's plugins are declared so
