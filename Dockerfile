# The operator's image: Debian, its Python, and exactly what requirements/operator.lock lists.
FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/operator.lock requirements/
RUN python3 -m venv /opt/bilateral \
 && /opt/bilateral/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/operator.lock
# The tools that build the package; they do not reach the image.
COPY requirements/dev.lock requirements/
RUN python3 -m venv /opt/tools \
 && /opt/tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/dev.lock
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --no-cache-dir --wheel-dir dist . \
 && /opt/bilateral/bin/pip install --no-deps --no-index --no-cache-dir dist/*.whl \
 && /opt/bilateral/bin/pip check \
 && /opt/bilateral/bin/pip uninstall --yes pip setuptools

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/bilateral /opt/bilateral
ENV PATH=/opt/bilateral/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8940 8941 8942
ENTRYPOINT ["bilateral", "operator"]
