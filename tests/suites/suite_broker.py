"""The broker of this run, for suites of Python that would start one in a container.

A plugin of pytest. aiormq's tests lack these fixtures in the source package; aio-pika's have a client of Docker beside them, in whose
place this one answers.
"""

import sys
import types

import pytest


class ContainerInfo:
    id = "none"
    host = "localhost"
    ports = {"5672/tcp": 5672, "5671/tcp": 5671}


class DockerClient:
    def __init__(self, _info):
        pass

    def run(self, _image, _ports, environment=None):
        return ContainerInfo()

    def kill(self, _id):
        pass

    def remove(self, _id):
        pass


class DockerHostInfo:
    pass


class DockerNotAvailableError(Exception):
    pass


def check_docker_available():
    return DockerHostInfo()


def docker_client():
    module = types.ModuleType("tests.docker_client")
    for item in (
        ContainerInfo,
        DockerClient,
        DockerHostInfo,
        DockerNotAvailableError,
        check_docker_available,
    ):
        setattr(module, item.__name__, item)
    return module


sys.modules["tests.docker_client"] = docker_client()


@pytest.fixture(scope="session")
def rabbitmq_container():
    return ContainerInfo()


@pytest.fixture(scope="session")
def amqp_direct_url(rabbitmq_container):
    from yarl import URL

    return URL("amqp://guest:guest@localhost:5672//")
