#!/usr/bin/env bash
# demo.sh - tells what happens when clients nobody here wrote connect through Cygnet (`make demo`).  Root.
set -u
cd "$(dirname "$0")" || exit 2
cat <<'E'
                          alice: strongSwan, xl2tpd, pppd
                          pub 203.0.113.10 ------------------.
                                                             |
  lanhost ------------- server ------------- inet -----------+
  192.168.1.10   192.168.1.1  192.0.2.1      router          |
                 Cygnet: pluto, xl2tpd                       '--- nat ------- client1 10.1.0.11
                                                              198.51.100.2    bob: strongSwan, xl2tpd, pppd

  The server has the configuration that HOWTOs print for Openswan + l2tpd, unmodified.
  The machines are nodes of one user-mode Linux; nothing leaves this host.
E
./prepare.sh strongswan libreswan cygnet || exit 1
O=out/demo
rm -rf "$O"
mkdir -p "$O"
: >"$O/story"
tail -n +1 -f "$O/story" &
t=$!
trap 'kill $t 2>/dev/null' EXIT
./uml.sh "$O" demo-guest.sh
rc=$?
sleep 1.2
[ $rc = 0 ] || echo "The demonstration failed; logs: $PWD/$O"
exit $rc
