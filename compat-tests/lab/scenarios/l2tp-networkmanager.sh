# l2tp-networkmanager.sh - Debian's NetworkManager and its L2TP plugin drive our xl2tpd and our `ipsec` on `gw2`; the server
# on `pub` is Debian's xl2tpd, later behind strongSwan.  Sourced inside the guest.

nm_start() { # nm_start NODE: a bus and NetworkManager, which leaves the lab's interfaces as they are
  local e=/n/$1/etc ifindex
  mkdir -p "/n/$1/run/dbus" "/n/$1/run/NetworkManager" "/n/$1/var/lib/NetworkManager" "/n/$1/var/lib/dbus" "$e/NetworkManager/system-connections"
  cat >"$e/lab-bus.conf" <<'E'
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow send_type="signal"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
E
  cat >"$e/NetworkManager/NetworkManager.conf" <<'E'
[main]
plugins=keyfile
auth-polkit=false
dhcp=internal
dns=none
rc-manager=unmanaged
systemd-resolved=false
no-auto-default=*
[logging]
level=INFO
backend=syslog
E
  # a /sys that cannot be written to tells it that there is no udev
  mountpoint -q "/n/$1/sys" || nx "$1" mount -t sysfs -o ro sys /sys || fail "no /sys" || return
  # what udev would have left: the interface is complete
  mkdir -p "/n/$1/run/udev/data"
  read -r ifindex <"/n/$1/sys/class/net/eth0/ifindex"
  printf 'I:1\n' >"/n/$1/run/udev/data/n$ifindex"
  nx "$1" dbus-daemon --config-file=/etc/lab-bus.conf --fork --nopidfile >"$OUT/bus.log" 2>&1 || fail "no bus: $(tail -1 "$OUT/bus.log")" || return
  mark "$1"
  nx "$1" NetworkManager --no-daemon </dev/null >"$OUT/nm.log" 2>&1 &
  disown
  # it takes the interface as it finds it; a VPN wants a connection of its own below it
  wait_for 20 logged "$1" 'device .eth0.: Activation: successful' || fail "NetworkManager does not start: $(tail -1 "$OUT/nm.log")" || return
}

nm_stop() { # the interface keeps its address
  sig "$1" TERM NetworkManager
  wait_for 10 gone "$1" NetworkManager nm-l2tp-service
  sig "$1" TERM dbus-daemon
}
nm_cli() { nx gw2 timeout 40 nmcli connection "$@" >"$OUT/nmcli.log" 2>&1; }
nm_up() { # nm_up NAME: and a ping through it
  local t=${EPOCHREALTIME/./}
  nm_cli up "$1" || fail "$1: $(grep -v '^Hint' "$OUT/nmcli.log" | tail -1)" || return
  since "$t"
  note "$1 ${REPLY}s"
  wait_for 15 nx gw2 ping -n -c1 -W1 $L2TP_NET.1 || fail "$1: no ping" || return
}
nm_down() {
  local t=${EPOCHREALTIME/./}
  nm_cli down "$1" || fail "$1: $(tail -1 "$OUT/nmcli.log")" || return
  wait_for 15 gone gw2 xl2tpd pppd || fail "$1: xl2tpd or pppd stay" || return
  since "$t"
  note "down ${REPLY}s"
}

nm_server() { # strongSwan on `pub` takes whoever has the key, for L2TP only
  PSK=between-nm-and-swan PORTS=1701:1701 IKE='' strongswan_config pub
  cat >/n/pub/etc/ipsec.init.conf <<'E'
conn lns
    keyexchange=ikev1
    authby=secret
    type=transport
    left=203.0.113.10
    leftprotoport=17/1701
    right=%any
    rightprotoport=17/%any
    ike=aes256-sha256-modp2048!
    esp=aes256-sha1-modp2048!
    auto=add
E
  strongswan_start pub
}
nm_ipsec() { # with strongSwan in front of the server
  local esp clear
  # as they are installed; what the plugin writes is read by way of the last line of ipsec.secrets
  mkdir -p /n/gw2/etc/ipsec.d
  rm -f /n/gw2/etc/ipsec.d/*.conf
  cp /lab/roots/cygnet/etc/ipsec.{conf,secrets} /n/gw2/etc/
  nm_server || fail "pub: strongSwan does not start" || return
  capture l2tp-networkmanager brp
  nm_up ipsec || return
  # before the end: the server's pppd says goodbye when IPsec is gone
  capture_end
  count 'ip proto 50'; esp=$REPLY
  count 'udp port 1701 or icmp'; clear=$REPLY
  note "$esp ESP, $clear in clear"
  [ "$esp" -ge 10 ] && [ "$clear" = 0 ] || fail "$esp ESP packets, $clear in clear: ${PACKETS[0]:-}" || return
  capture l2tp-networkmanager-down brp
  nm_down ipsec || return
  # time for what must not come
  sleep 1
  capture_end
  # the server's pppd says goodbye when IPsec is gone; ours says nothing in clear
  count 'src host 203.0.113.30 and udp port 1701'
  [ "$REPLY" = 0 ] || fail "$REPLY packets of ours in clear at the end: ${PACKETS[0]}" || return
  # the plugin takes its conn away and leaves pluto to the next call, which restarts it
  procs gw2 pluto || fail "pluto is gone" || return
  mapfile -t PACKETS < <(ip -n gw2 xfrm state)
  [ ${#PACKETS[@]} = 0 ] || fail "an SA stays: ${PACKETS[0]}" || return
  nm_up ipsec && nm_down ipsec
}

sc_l2tp_networkmanager() {
  l2tp_end gw2 pub
  lns_files pub '' auth require-mschap-v2
  old_words pub
  l2tp_start pub || fail "pub: xl2tpd does not start" || return
  nm_start gw2 || return
  nm_cli add type ethernet con-name base ifname eth0 ipv4.method manual ipv4.addresses 203.0.113.30/24 \
    ipv4.gateway 203.0.113.254 ipv6.method disabled autoconnect no && nm_cli up base || fail "base: $(tail -1 "$OUT/nmcli.log")" || return
  nm_cli add type vpn vpn-type l2tp con-name plain ifname '*' vpn.data \
    'gateway=203.0.113.10, user=alice, password-flags=0, refuse-eap=yes' vpn.secrets 'password=secret-a' || fail "nmcli: $(tail -1 "$OUT/nmcli.log")" || return
  nm_up plain && nm_down plain || return
  # it says goodbye to nobody for a while, in clear
  wait_for 20 gone pub pppd || fail "pub: pppd stays" || return
  nm_cli add type vpn vpn-type l2tp con-name ipsec ifname '*' vpn.data \
    'gateway=203.0.113.10, user=alice, password-flags=0, refuse-eap=yes, ipsec-enabled=yes, ipsec-psk-flags=0' \
    vpn.secrets 'password=secret-a, ipsec-psk=between-nm-and-swan' || fail "nmcli: $(tail -1 "$OUT/nmcli.log")" || return
  nm_ipsec
  local rc=$?
  : >/n/pub/etc/ipsec.init.conf
  strongswan_stop pub
  nm_stop gw2
  nx gw2 timeout 10 ipsec setup stop >/dev/null 2>&1
  l2tp_end pub
  return $rc
}

# Our LAC behind our `ipsec`, without NetworkManager: both data paths through one IPsec SA of strongSwan, whose L2TP is
# Debian's xl2tpd.
sc_l2tp_lac() {
  local rc
  l2tp_end gw2 pub
  lns_files pub '' auth require-mschap-v2
  old_words pub
  l2tp_start pub || fail "pub: xl2tpd does not start" || return
  nm_server || fail "pub: strongSwan does not start" || return
  server_config gw2
  echo '203.0.113.30 203.0.113.10 : PSK "between-nm-and-swan"' >/n/gw2/etc/ipsec.secrets
  cat >/n/gw2/etc/ipsec.d/L2TP-lac.conf <<'E'
conn lac
	authby=secret
	type=transport
	left=203.0.113.30
	leftprotoport=17/1701
	right=203.0.113.10
	rightprotoport=17/1701
	ike=aes256-sha2_256;modp2048
	phase2alg=aes256-sha1;modp2048
	auto=add
E
  l2tp_lac_calls
  rc=$?
  sig gw2 TERM pluto
  wait_for 5 gone gw2 pluto
  rm -f /n/gw2/etc/ipsec.d/L2TP-lac.conf
  : >/n/pub/etc/ipsec.init.conf
  strongswan_stop pub
  l2tp_end gw2 pub
  return $rc
}
l2tp_lac_calls() {
  local path esp
  ike_start gw2 || fail "gw2: ipsec does not start" || return
  nx gw2 timeout 15 ipsec auto --up lac >"$OUT/lac-up.log" 2>&1 || fail "--up exits $?: $(tail -1 "$OUT/lac-up.log")" || return
  for path in kernel pty; do
    lac_files gw2 203.0.113.10 alice secret-a noccp
    [ $path = kernel ] || sed -i '1i [global]\nforce userspace = yes' /n/gw2/etc/xl2tpd/xl2tpd.conf
    l2tp_start gw2 || fail "gw2: xl2tpd does not start" || return
    capture "l2tp-lac-$path" brp
    l2tp_dial gw2 || { WHY="$path: $WHY"; return 1; }
    [[ $(nx gw2 xl2tpd-control status --json) == *"\"path\":\"$path\""* ]] || fail "not on the $path path" || return
    echo "d vpn" >/n/gw2/run/xl2tpd/l2tp-control
    wait_for 15 gone gw2 pppd && wait_for 15 gone pub pppd || fail "$path: pppd stays" || return
    capture_end
    count 'ip proto 50'; esp=$REPLY
    count 'udp port 1701 or icmp'
    note "$path ${CLIENT_IP[gw2]} ppp ${PPP_S}s, $esp ESP, $REPLY in clear"
    [ "$esp" -ge 10 ] && [ "$REPLY" = 0 ] || fail "$path: $esp ESP packets, $REPLY in clear: ${PACKETS[0]:-}" || return
    sig gw2 TERM xl2tpd
    wait_for 5 gone gw2 xl2tpd || fail "gw2: xl2tpd stays" || return
  done
}
