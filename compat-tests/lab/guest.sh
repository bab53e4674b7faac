# guest.sh - runs inside the guest: the scenarios listed in /out/scenarios, one boot, one server for all of them.
. /lab/lib/node.sh
. /lab/lib/net.sh
. /lab/lib/server.sh
. /lab/lib/client.sh
. /lab/lib/judge.sh
for f in connect verify refuse wire badinput teardown initiate l2tp l2tp-more l2tp-networkmanager kernel tunnel certs xauth xauth-rsa vti; do . "/lab/scenarios/$f.sh"; done

if [ "$SERVER" = cygnet ]; then SERVER_LAYER=cygnet; else SERVER_LAYER=$SERVER; fi
topology "$SERVER_LAYER" || { say "no topology"; exit 1; }
say "topology ready"
server_up || say "server: $REPLY" # each scenario tries again and says so
say "server ready"
since "$T0"
echo "boot $REPLY" >>"$OUT/progress"
while read -r s; do run_scenario "$s"; done </out/scenarios
for n in pub publ client1 client2; do client_stop "$n"; done
exit 0
