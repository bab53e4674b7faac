# server.sh - the server under test: its configuration, how its daemons start and what the kernel holds of it.
# Sourced inside the guest; $SERVER is cygnet or libreswan.  The scenarios are the same for both.

server_config() { # server_config NODE: the HOWTO's files, byte for byte (for libreswan with what it needs instead)
  local e=/n/$1/etc
  # and nothing of a scenario that failed
  rm -f "$e"/ipsec.d/L2TP-*.conf "$e"/ipsec.d/passwd "$e"/ipsec.d/{private,certs,cacerts,crls}/*
  [ "$SERVER" = libreswan ] || rm -rf "$e/ipsec.d/policies"
  cp -r /lab/server/. "$e/"
  if [ "$SERVER" = libreswan ]; then
    # it does not load the HOWTO's conns; and its pppd runs on xl2tpd's kernel channel, where crtscts and lock are unknown
    cp -r /lab/server-libreswan/. "$e/"
    rm "$e/ipsec.d/L2TP-PSK.conf"
  fi
  chmod 600 "$e/ipsec.secrets" "$e/ppp/chap-secrets"
}

ike_start() { # ike_start NODE: 0 when the daemon is ready and its conns are loaded
  case $SERVER in
  cygnet) nx "$1" timeout 20 ipsec setup start >>"$OUT/$1-setup.log" 2>&1 || return
    wait_for 10 procs "$1" pluto ;;
  libreswan)
    # what the package's unit does: NSS database, no lock file of a dead daemon
    [ -e "/n/$1/var/lib/ipsec/nss/cert9.db" ] || nx "$1" ipsec initnss >>"$OUT/$1-setup.log" 2>&1
    rm -f "/n/$1/run/pluto/pluto.pid" "/n/$1/run/pluto/pluto.ctl"
    mark "$1"
    nx "$1" ipsec pluto --config /etc/ipsec.conf >>"$OUT/$1-setup.log" 2>&1 || return
    wait_for 20 logged "$1" 'loading secrets' && wait_for 10 logged "$1" 'added IKEv1 connection' ;;
  esac
}
ike_restart() { # after a kill -9, as an administrator would
  case $SERVER in
  cygnet) nx "$1" timeout 30 ipsec setup restart >>"$OUT/$1-setup.log" 2>&1 && wait_for 10 procs "$1" pluto ;;
  *) ike_start "$1" ;;
  esac
}
l2tp_start() { # l2tp_start NODE: server or client
  mark "$1"
  nx "$1" xl2tpd -c /etc/xl2tpd/xl2tpd.conf >>"$OUT/$1-xl2tpd.out" 2>&1 || return
  wait_for 10 logged "$1" 'Listening on IP address'
}
server_up() { # server_up: configure and start the daemons of the server node; REPLY = what failed
  server_config server
  ike_start server || { REPLY="ipsec does not start"; return 1; }
  l2tp_start server || { REPLY="xl2tpd does not start"; return 1; }
}
server_reset() { # power off, power on: nothing of the last scenario is left
  node_crash server && server_up
}

# server_state: array STATE = one line for everything in the kernel and the process table that a connection can leave
# behind: SAs, policies, ppp interfaces, routes, proxy ARP entries, pppd processes.  Counters are cut off.
server_state() {
  local l lines p rec=
  STATE=()
  # `ip -batch` ends after the first listing of xfrm: one call for each
  mapfile -t lines < <(
    ip -n server xfrm state
    ip -n server xfrm policy
    ip -n server -batch - 2>/dev/null <<<$'route\nneigh show proxy\nlink'
  )
  for l in "${lines[@]}" end; do
    case $l in
    *anti-replay* | *seq-hi* | *replay_window* | ' '[0-9a-f][0-9a-f]*) continue ;;
    [[:space:]]*) rec+=" ${l#"${l%%[![:space:]]*}"}" ;;
    *)
      [[ -z $rec || $rec =~ ^[0-9]+:\ (wan|lan|lo|tunl0|sit0|gre0) ]] || STATE+=("$rec")
      rec=$l ;;
    esac
  done
  procs server pppd
  for p in $REPLY; do STATE+=("pppd $p"); done
}
# minus A B: array REST = the elements of array A that array B has not
minus() {
  local -n a=$1 b=$2
  local l
  local -A have=()
  REST=()
  for l in "${b[@]}"; do have[$l]=1; done
  for l in "${a[@]}"; do [ -n "${have[$l]:-}" ] || REST+=("$l"); done
}

# An SA and a policy of somebody else, which no daemon may touch.
foreign_add() {
  foreign_kept && return
  ip -n server -batch - <<'E'
xfrm state add src 10.99.0.1 dst 10.99.0.2 proto esp spi 0xabcd01 reqid 4242 mode transport enc cbc(aes) 0x00112233445566778899aabbccddeeff auth hmac(sha1) 0x000102030405060708090a0b0c0d0e0f10111213
xfrm policy add src 10.99.0.1/32 dst 10.99.0.2/32 dir out priority 1234 tmpl src 10.99.0.1 dst 10.99.0.2 proto esp reqid 4242 mode transport
E
}
foreign_kept() {
  server_state
  local all=${STATE[*]}
  [[ $all == *0x00abcd01* && $all == *'src 10.99.0.1/32 dst 10.99.0.2/32'* ]]
}
