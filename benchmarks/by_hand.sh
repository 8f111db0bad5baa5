#!/bin/bash
# The plain lab of `make bench-up` by a shell script, on all nodes at once where they do the same: three nodes, Consul on
# docker01, the overlay ov_net1, t1-t3, nine pings. Prints for each phase the milliseconds from the start to its end.
#
# by_hand.sh container|vm, with what it shares with the lab in the environment:
#   LAB PREFIX MIRROR       the lab's name, the first three bytes of its underlay, the registry
#   container: DOCKER_HOST IMAGE RUN_OPTIONS    the outer engine, the nodes' image, options of `docker run`
#   vm: LIBVIRT_URI BASE SSH_OPTIONS            with the lab's machines defined: it ends them and boots copies of them
set -eu
kind=$1
: "${LAB:?}" "${PREFIX:?}" "${MIRROR:?}"
work=$(mktemp -d)
opt() { printf '"%s":"%s"' "$1" "$2"; }

clean_container() {
	docker rm -f -v hand-docker01 hand-docker02 hand-docker03 >/dev/null 2>&1 || true
	docker volume rm hand-data1 hand-data2 hand-data3 >/dev/null 2>&1 || true
	docker network rm hand >/dev/null 2>&1 || true
}
prepare_container() { clean_container; }
start_container() {
	docker network create --subnet "$PREFIX.0/24" --gateway "$PREFIX.1" hand >/dev/null
	for i in 1 2 3; do
		# shellcheck disable=SC2086
		docker run -d --name "hand-docker0$i" --hostname "docker0$i" --network hand --ip "$PREFIX.1$i" $RUN_OPTIONS \
			--cgroup-parent "/overlab-$LAB" --tmpfs /run --tmpfs /tmp -v "hand-data$i:/var/lib/docker" \
			--stop-signal SIGRTMIN+3 "$IMAGE" >/dev/null &
	done
	wait
}
on_container() { docker exec -i "hand-docker0$1" sh -c "$2"; }

V() { virsh -q -c "$LIBVIRT_URI" "$@"; }
clean_vm() { for i in 1 2 3; do V destroy "overlab-$LAB-docker0$i" >/dev/null 2>&1 || true; done; }
prepare_vm() {
	for i in 1 2 3; do
		V dumpxml --inactive "overlab-$LAB-docker0$i" >"$work/defined$i.xml"
		V destroy "overlab-$LAB-docker0$i" >/dev/null || true
		V undefine "overlab-$LAB-docker0$i" >/dev/null
		sed -e "s#<disk type='volume' device='disk'>#<disk type='file' device='disk'>#" \
			-e "s#<source pool='[^']*' volume='docker0$i-[^']*'/>#<source file='$work/disk$i.qcow2'/>#" \
			"$work/defined$i.xml" >"$work/started$i.xml"
	done
	chmod 755 "$work"
}
start_vm() {
	for i in 1 2 3; do
		qemu-img create -q -u -f qcow2 -b "$BASE" -F qcow2 "$work/disk$i.qcow2" 10G
		V create "$work/started$i.xml" >/dev/null
	done
}
on_vm() {
	# shellcheck disable=SC2086
	ip netns exec "overlab-$LAB" ssh $SSH_OPTIONS -o LogLevel=ERROR -o ConnectTimeout=5 -o ControlMaster=auto \
		-o ControlPath="$work/ssh$1" -o ControlPersist=120 "root@$PREFIX.1$1" "$2"
}

case $kind in
container) nic=eth0 ;;
vm) nic=lab0 ;;
*) exit 2 ;;
esac
trap 'clean_$kind; rm -rf "$work"' EXIT
"prepare_$kind"

begun=${EPOCHREALTIME/[.,]/}
ended() { echo "$(((${EPOCHREALTIME/[.,]/} - begun) / 1000)) $1"; }
on() { "on_$kind" "$@"; }
parallel() {
	local jobs=() i
	for i in 1 2 3; do
		"$1" "$i" &
		jobs+=($!)
	done
	for i in "${jobs[@]}"; do wait "$i" || return 1; done
}

reachable() { until on "$1" 'systemctl is-active -q basic.target' 2>/dev/null; do sleep 0.2; done; }
engine() {
	local config
	config="{$(opt cluster-store "consul://$PREFIX.11:8500"),$(opt cluster-advertise "$nic:2376"),\"live-restore\":true,"
	config+="\"cluster-store-opts\":{$(opt discovery.heartbeat 2),$(opt discovery.ttl 30)},"
	config+="\"default-address-pools\":[{\"base\":\"172.30.0.0/16\",\"size\":24}],\"registry-mirrors\":[\"$MIRROR\"]"
	[ "$kind" = vm ] || config+=",$(opt cgroup-parent "/overlab-$LAB/hand$1")"
	on "$1" "mkdir -p /etc/docker; echo '$config}' >/etc/docker/daemon.json; systemctl enable -q docker; systemctl start docker"
}
store() {
	on 1 "docker run -d --name consul -h consul --restart always --network host -v consul:/consul/data consul:1.8 agent \
		-server -bootstrap -data-dir=/consul/data -client=0.0.0.0 -bind=$PREFIX.11 -node=docker01 \
		-hcl 'performance { raft_multiplier = 1 }' >/dev/null
		until curl -fs http://$PREFIX.11:8500/v1/status/leader | grep -q :; do sleep 0.2; done"
}
workload() {
	on "$1" "until docker network inspect ov_net1 >/dev/null 2>&1; do sleep 0.2; done
		docker run -d --name t$1 --network ov_net1 busybox:1.35 sleep 2147483647 >/dev/null"
}
pings() {
	on "$1" "for peer in t1 t2 t3; do n=0; until docker exec t$1 ping -c 1 -W 2 \$peer >/dev/null; do
		n=\$((n + 1)); [ \$n -lt 10 ] || { echo t$1 does not reach \$peer >&2; exit 1; }; sleep 1; done; done"
}

"start_$kind"
parallel reachable
ended nodes
parallel engine
ended engines
store
ended store
on 1 "until [ \$(curl -fs 'http://127.0.0.1:8500/v1/kv/docker/nodes?keys' | tr , '\n' | grep -c :2376) = 3 ]; do sleep 0.2; done"
ended joined
on 2 'until docker network create -d overlay --subnet 10.0.0.0/24 ov_net1 >/dev/null 2>&1; do sleep 0.5; done'
ended networks
parallel workload
ended workloads
if ! parallel pings; then
	echo "its engines have not found each other" >&2
	exit 1
fi
ended checks
