# The server, and the command line for one-off jobs. Built from a checkout: docker build -t hitherto .

FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/hitherto
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY feature_repo ./feature_repo
RUN /opt/hitherto/bin/pip install '.[redis]'

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="hitherto" org.opencontainers.image.licenses="Apache-2.0"
# A number, so that Kubernetes can see that it is not root. The repo belongs to root: the server cannot change it.
# .hitherto is made here so that a volume mounted there starts with the right owner.
RUN groupadd --gid 10001 hitherto \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin hitherto \
    && install -d -o 10001 -g 10001 /repo/.hitherto
COPY --from=build /opt/hitherto /opt/hitherto
COPY feature_repo /repo
ENV PATH=/opt/hitherto/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 10001:10001
WORKDIR /repo
VOLUME /repo/.hitherto
EXPOSE 6566
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:6566/health', timeout=2)"]
ENTRYPOINT ["hitherto", "--repo", "/repo"]
# Beyond loopback the server wants tokens; without them it stops and says so.
CMD ["serve", "--host", "0.0.0.0", "--port", "6566"]
