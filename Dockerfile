# One image a role, each with what it needs and no more: docker build --target control_plane|worker|edge .
# For both kinds of machine: docker buildx build --platform linux/amd64,linux/arm64 --target edge .
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/rollcall/bin:$PATH DATA_DIR=/data HOME=/tmp
# The folder belongs to the user before it is a volume, so that the volume belongs to it, too.
RUN groupadd --gid 10001 rollcall && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data rollcall && \
    mkdir /data && chown rollcall:rollcall /data && chmod 700 /data && python3 -m venv /opt/rollcall
WORKDIR /app

FROM base AS control_plane
COPY requirements/control_plane.txt requirements/front.txt /tmp/requirements/
RUN pip install --require-hashes -r /tmp/requirements/control_plane.txt -r /tmp/requirements/front.txt
COPY faces faces
COPY control_plane control_plane
# The worker's settings, which commands look at, too.
COPY jobs/__init__.py jobs/config.py jobs/
COPY migrations migrations
COPY rollcall rollcall
USER rollcall
EXPOSE 5000 9100
CMD ["python", "-m", "control_plane"]

FROM base AS worker
COPY requirements/worker.txt /tmp/requirements/
RUN pip install --require-hashes --no-deps -r /tmp/requirements/worker.txt
COPY faces faces
COPY control_plane/__init__.py control_plane/dispatch.py control_plane/
COPY control_plane/store control_plane/store
COPY jobs jobs
COPY migrations migrations
USER rollcall
EXPOSE 9100
CMD ["python", "-m", "jobs.worker"]

FROM base AS edge
COPY requirements/edge.txt /tmp/requirements/
RUN pip install --require-hashes --no-deps -r /tmp/requirements/edge.txt
COPY faces faces
COPY edge edge
USER rollcall
ENV METRICS_PORT=9100
EXPOSE 9100
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["sh", "-c", "exec python -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:$METRICS_PORT/metrics', timeout=4)\""]
CMD ["python", "-m", "edge"]
