# The pipeline and its Airflow in one image; docker-compose.yml starts every service from it.
FROM python:3.12-slim-bookworm

# What Microsoft's driver of SQL Server needs besides its wheel.
RUN apt-get update && apt-get install --yes --no-install-recommends libltdl7 libgssapi-krb5-2 && rm -rf /var/lib/apt/lists/*

# The owner of the secret files on the host must be able to read them here: build with that user's number.
ARG IPS_UID=1000
RUN useradd --uid "${IPS_UID}" --home-dir /opt/airflow --create-home --shell /usr/sbin/nologin ips \
 && install --directory --owner ips --group ips --mode 0700 /opt/airflow/logs /opt/site /data

WORKDIR /opt/ips
COPY requirements-production.lock ./
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --requirement requirements-production.lock

# Everything the pipeline reads at run time; bytecode is made now, since the services run on a read-only file system.
COPY pyproject.toml README.md ./
COPY ips_pipeline ./ips_pipeline
COPY sql ./sql
COPY expectations ./expectations
COPY examples ./examples
COPY dags ./dags
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
 && python -m compileall -q ips_pipeline dags

ENV AIRFLOW_HOME=/opt/airflow \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER ips
CMD ["airflow", "version"]
