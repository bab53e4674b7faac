# net.sh - the topology.  Sourced inside the guest.
#
#   lanhost 192.168.1.10 -- 192.168.1.1 server 192.0.2.1 -- 192.0.2.254 inet
#   inet 203.0.113.254 (bridge) -- pub  203.0.113.10   strongSwan
#                               -- publ 203.0.113.20   libreswan
#                               -- gw2  203.0.113.30   a second server
#   inet 198.18.0.254 -- 198.18.0.20 outside           says what it likes, in clear
#   inet 198.51.100.254 -- 198.51.100.2 nat 10.1.0.1 (bridge) -- client1 10.1.0.11   strongSwan
#                                                             -- client2 10.1.0.12   libreswan
topology() { # topology SERVER_LAYER
  node server "$1"; node gw2 "${GW2_LAYER:-$1}:/lab/roots/radius:/lab/roots/nm"
  node lanhost; node inet; node nat; node outside
  node pub strongswan:/lab/roots/vpnc; node client1 strongswan:/lab/roots/vpnc
  node publ libreswan; node client2 libreswan
  link server wan 192.0.2.1/24 inet s 192.0.2.254/24
  link server lan 192.168.1.1/24 lanhost eth0 192.168.1.10/24
  link inet p1 - pub eth0 203.0.113.10/24
  link inet p2 - publ eth0 203.0.113.20/24
  link inet p3 - gw2 eth0 203.0.113.30/24
  bridge inet brp 203.0.113.254/24; port inet brp p1; port inet brp p2; port inet brp p3
  link inet o 198.18.0.254/24 outside eth0 198.18.0.20/24
  link inet n 198.51.100.254/24 nat wan 198.51.100.2/24
  link nat c1 - client1 eth0 10.1.0.11/24
  link nat c2 - client2 eth0 10.1.0.12/24
  bridge nat brc 10.1.0.1/24; port nat brc c1; port nat brc c2
  gateway server 192.0.2.254; gateway lanhost 192.168.1.1; gateway nat 198.51.100.254
  gateway pub 203.0.113.254; gateway publ 203.0.113.254; gateway gw2 203.0.113.254
  gateway client1 10.1.0.1; gateway client2 10.1.0.1; gateway outside 198.18.0.254
  net_commit || return
  # this kernel has nf_tables without its IPv4 family: the legacy tool
  nx nat iptables-legacy -w -t nat -A POSTROUTING -o wan -j MASQUERADE
}

declare -A ADDR=([server]=192.0.2.1 [pub]=203.0.113.10 [publ]=203.0.113.20 [gw2]=203.0.113.30
  [client1]=198.51.100.2 [client2]=198.51.100.2 [outside]=198.18.0.20) # as the server sees them

# What goes through the inet router on its link to the server (or on IF) is recorded: capture NAME [IF] ... capture_end.
capture() {
  CAP_FILE=$OUT/$1.pcap
  nsenter --net=/run/netns/inet tcpdump --immediate-mode -U -nn -i "${2:-s}" -w - >"$CAP_FILE" 2>"$CAP_FILE.err" &
  CAP_PID=$!
  wait_for 10 grep -q 'listening on' "$CAP_FILE.err"
}
capture_end() {
  [ -n "${CAP_PID:-}" ] || return 0
  pause 0.2
  kill "$CAP_PID" # TERM: bash has SIGINT ignored in its background children
  wait "$CAP_PID" 2>/dev/null
  CAP_PID=
}
count() { # count FILTER: REPLY = packets in the capture that match
  local lines
  mapfile -t lines < <(tcpdump -nn -r "$CAP_FILE" "$1" 2>/dev/null)
  REPLY=${#lines[@]} PACKETS=("${lines[@]}")
}
ESP_FILTER='ip proto 50'
ESP_UDP_FILTER='udp port 4500 and udp[4:2] > 9 and udp[8:4] != 0' # neither IKE nor keep-alives
