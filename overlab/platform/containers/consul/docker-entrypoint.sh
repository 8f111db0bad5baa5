#!/bin/sh
# Entry point with the manners of the hub's consul image.
set -eu

# The address of an interface, for CONSUL_BIND_INTERFACE and CONSUL_CLIENT_INTERFACE.
address_of() {
    address=$(ip -4 -o address show dev "$1" | awk '{ sub("/.*", "", $4); print $4; exit }')
    if [ -z "$address" ]; then
        echo "no IPv4 address on interface $1" >&2
        exit 1
    fi
    echo "$address"
}

bind=
if [ -n "${CONSUL_BIND_INTERFACE-}" ]; then
    bind=-bind=$(address_of "$CONSUL_BIND_INTERFACE")
fi
client=
if [ -n "${CONSUL_CLIENT_INTERFACE-}" ]; then
    client=-client=$(address_of "$CONSUL_CLIENT_INTERFACE")
fi
if [ -n "${CONSUL_LOCAL_CONFIG-}" ]; then
    echo "$CONSUL_LOCAL_CONFIG" > /consul/config/local.json
fi

case ${1-} in
-*) set -- consul "$@" ;;
esac
if [ "${1-}" = agent ]; then
    shift
    set -- consul agent -data-dir=/consul/data -config-dir=/consul/config ${bind:+"$bind"} ${client:+"$client"} "$@"
elif [ "${1-}" = version ] || { [ -n "${1-}" ] && consul --help "$1" 2>&1 | grep -q "consul $1"; }; then
    set -- consul "$@"
fi

if [ "$(id -u)" = 0 ] && [ "${1-}" = consul ]; then
    for directory in /consul/data /consul/config; do
        if [ "$(stat -c %u "$directory")" != "$(id -u consul)" ]; then
            chown consul:consul "$directory"
        fi
    done
    # shellcheck disable=SC2016 # expanded by the inner shell
    exec su consul -s /bin/sh -c 'exec "$0" "$@"' -- "$@"
fi
exec "$@"
