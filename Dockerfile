# Serves the page on http://localhost:7860:
#   docker build -t masquerade .
#   docker run -p 7860:7860 -v masquerade-models:/home/masquerade/.cache masquerade
# With an NVIDIA GPU and its container toolkit, `docker run --gpus all …`.
FROM python:3.12-slim

# Triton compiles its launcher with gcc when denoising steps are compiled on a GPU. The packages'
# versions are those of the base image's release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 masquerade \
    && install -d -o masquerade -g masquerade /home/masquerade/.cache

WORKDIR /app

# A smaller image without CUDA: --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG PIP_EXTRA_INDEX_URL
COPY requirements.txt constraints.txt ./
RUN python -m pip install --no-cache-dir --quiet -r requirements.txt -c constraints.txt

COPY app.py ./
COPY assets assets
COPY inference inference

USER 1000
ENV PYTHONUNBUFFERED=1
# Downloaded models, so that a new container need not fetch them again.
VOLUME /home/masquerade/.cache
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=8)"]
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
