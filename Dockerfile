# The server with the bundled organism: on a processor by default, for NVIDIA GPUs with --build-arg VARIANT=cuda.
#
#   docker build -t polyglyph .
#   docker run --rm -p 127.0.0.1:8000:8000 --shm-size 1g polyglyph
#
# Inside the container the server listens on every address, so that Docker can forward to it: publish the port on
# 127.0.0.1 as above, or set keys: docker run ... polyglyph serve --host 0.0.0.0 --api-key KEY --admin-key KEY

FROM python:3.11-slim

ARG VARIANT=cpu

# g++ builds PyICU, and is what torch compiles models with at run time; vLLM's processor build loads libnuma.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libicu-dev libnuma1 pkg-config \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
ENV VENV=/app/.venv
ENV PATH=$VENV/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

# The dependencies first: they change seldom, and code that changed does not install them again.
COPY requirements/ requirements/
RUN if [ "$VARIANT" = cpu ]; then PYTHON=python3.11 requirements/install.sh "$VENV" --dependencies-only; fi

COPY pyproject.toml README.md LICENSE ./
COPY polyglyph/ polyglyph/
RUN case "$VARIANT" in \
      cpu) python -m pip install --no-deps --no-build-isolation . ;; \
      cuda) python3.11 -m venv "$VENV" && python -m pip install ".[cuda]" ;; \
      *) echo "VARIANT is cpu or cuda, got: $VARIANT" >&2; exit 1 ;; \
    esac

RUN useradd --create-home --uid 10001 polyglyph
USER polyglyph
WORKDIR /home/polyglyph

# VLLM_PLUGINS is vLLM's list of plugins to load; its HTTP plugins load only if they are named there.
ENV VLLM_PLUGINS=polyglyph \
    VLLM_NO_USAGE_STATS=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=180s --retries=4 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

ENTRYPOINT ["polyglyph"]
CMD ["serve", "--host", "0.0.0.0"]
