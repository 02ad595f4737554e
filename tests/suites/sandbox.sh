# Runs a suite's tests beside a broker of its own: sandbox.sh BROKER SCRATCH COMMAND, in namespaces of its own for network and processes (`cargo xtask
# suites` makes them). Nothing but loopback is there, since some suites would reach hosts of their authors. BROKER is `rabbitmq`, or a `leveret` binary;
# what either writes goes to the folder SCRATCH. Both have the users guest and user, AMQP at 5672, with TLS at 5671, and the management API at 15672. Both take
# messages of the length that RabbitMQ 3.10 takes; some suites send 20 MiB.
set -eu
broker=$1 scratch=$2 command=$3
readonly PORTS='1628 1627 3D38' MAX_MESSAGE_SIZE=134217728

ip link set lo up
if [ "$(ip -o link | wc -l)" != 1 ]; then
    echo 'the sandbox has more than loopback' >&2
    exit 97
fi
export CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" HOME="$scratch/home"
mkdir -p "$HOME"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$scratch/key.pem" -out "$scratch/cert.pem" 2>/dev/null

start_rabbitmq() {
    echo '[rabbitmq_management].' >"$scratch/enabled_plugins"
    cat >"$scratch/definitions.json" <<END
{"vhosts": [{"name": "/"}],
 "users": [{"name": "guest", "password": "guest", "tags": "administrator"}, {"name": "user", "password": "bitnami", "tags": "administrator"}],
 "permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
                 {"user": "user", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]}
END
    cat >"$scratch/rabbitmq.conf" <<END
load_definitions = $scratch/definitions.json
listeners.tcp.default = 5672
listeners.ssl.default = 5671
ssl_options.certfile = $scratch/cert.pem
ssl_options.keyfile = $scratch/key.pem
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
management.tcp.port = 15672
max_message_size = $MAX_MESSAGE_SIZE
END
    env ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=suite@localhost RABBITMQ_DIST_PORT=25672 \
        RABBITMQ_MNESIA_BASE="$scratch/mnesia" RABBITMQ_LOG_BASE="$scratch/log" RABBITMQ_PID_FILE="$scratch/pid" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$scratch/enabled_plugins" RABBITMQ_CONFIG_FILE="$scratch/rabbitmq" \
        "${RABBITMQ_SERVER:-/usr/lib/rabbitmq/bin/rabbitmq-server}" >"$scratch/broker.log" 2>&1 &
}

start_leveret() {
    cat >"$scratch/leveret.toml" <<END
data_dir = "$scratch/data"
[listeners]
amqp = ["127.0.0.1:5672", "[::1]:5672"]
amqps = ["127.0.0.1:5671", "[::1]:5671"]
management = ["127.0.0.1:15672", "[::1]:15672"]
[tls]
cert_file = "$scratch/cert.pem"
key_file = "$scratch/key.pem"
[limits]
max_message_size = $MAX_MESSAGE_SIZE
unfinished_content_bytes_max = 268435456
[[users]]
name = "guest"
password = "guest"
tags = ["administrator"]
[[users.permissions]]
vhost = "/"
configure = ".*"
write = ".*"
read = ".*"
[[users]]
name = "user"
password = "bitnami"
tags = ["administrator"]
[[users.permissions]]
vhost = "/"
configure = ".*"
write = ".*"
read = ".*"
END
    "$broker" --config "$scratch/leveret.toml" >"$scratch/broker.log" 2>&1 &
}

case $broker in
rabbitmq) start_rabbitmq ;;
*) start_leveret ;;
esac
for port in $PORTS; do
    tries=0
    until grep -q ":$port .* 0A " /proc/net/tcp /proc/net/tcp6; do
        tries=$((tries + 1))
        # One that has ended will not listen any more.
        if [ $tries -gt 600 ] || ! kill -0 $! 2>/dev/null; then
            echo "the broker does not listen at 0x$port:" >&2
            cat "$scratch/broker.log" >&2
            exit 98
        fi
        sleep 0.2
    done
done
# How it ends is told by its results.
sh -c "$command" || echo "the tests ended with $?"
