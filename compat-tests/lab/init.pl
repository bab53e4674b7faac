#!/usr/bin/perl
# init.pl NODE - process 1 of a node: its own /proc, a reaper of orphans, and the syslog daemon of that machine.
#
# Datagrams on the node's /dev/log (a link to /run/log) are written to its /var/log/syslog as
# `HH:MM:SS.mmm tag[pid]: text`.  The process id the node has outside is left in /run/node/NODE when all is ready.
use strict;
use warnings;
use Socket;
use Time::HiRes qw(time);

my $node = shift;
my $pid  = readlink '/proc/self';    # still the outer /proc: the outer number
system('mount', '-t', 'proc', 'proc', "/n/$node/proc") == 0 or die "proc of $node";
$SIG{CHLD} = 'IGNORE';               # the kernel reaps what daemons leave to process 1
chroot "/n/$node" or die "chroot $node: $!";
chdir '/';
my $sock = '/run/log';
unlink $sock;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
bind($s, sockaddr_un($sock)) or die "bind: $!";
chmod 0666, $sock;
open(my $out, '>>', '/var/log/syslog') or die "syslog: $!";
$out->autoflush(1);
open(my $ready, '>', "/run/ready") or die "ready: $!";
print $ready $pid;
close $ready;
while (1) {
    next unless defined recv($s, my $msg, 8192, 0);
    $msg =~ s/^<\d+>//;
    $msg =~ s/^\w{3} [ \d]\d [\d:]{8} //;
    $msg =~ s/[\0\n]+$//;
    my $t = time;
    my @l = localtime $t;
    printf $out "%02d:%02d:%02d.%03d %s\n", $l[2], $l[1], $l[0], ($t - int $t) * 1000, $msg;
}
