use strict;
use warnings;
use Errno qw(EAGAIN EINTR EPIPE EWOULDBLOCK);
use Fcntl;
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY);

my ($port, $window, $silence) = @ARGV;
$SIG{PIPE} = 'IGNORE';

sub tell_client {
    my ($kind, $number, $data) = @_;
    my $frame = pack('aN', $kind, $number) . ($data // '');
    my $at = 0;
    while ($at < length $frame) {
        my $wrote = syswrite(STDOUT, $frame, length($frame) - $at, $at);
        exit 1 unless defined $wrote;
        $at += $wrote;
    }
}

my $target;

# Closed as it is then, the target sees a connection that broke, also when this process is killed.
sub break_when_closed {
    my ($breaks) = @_;
    setsockopt($target, SOL_SOCKET, SO_LINGER, pack('ii', $breaks, 0));
}

sub fail {
    my ($text) = @_;
    break_when_closed(1) if $target;
    tell_client('x', length $text, $text);
    exit 0;
}

my @places = ([PF_INET, pack_sockaddr_in($port, INADDR_LOOPBACK)]);
push @places, eval { [Socket::AF_INET6(), Socket::pack_sockaddr_in6($port, Socket::IN6ADDR_LOOPBACK())] };
my $why;
for my $place (@places) {
    next unless $place && socket(my $socket, $place->[0], SOCK_STREAM, 0);
    if (connect($socket, $place->[1])) {
        $target = $socket;
        last;
    }
    $why //= "$!";
}
fail('refused ' . ($why // 'no socket')) unless $target;
setsockopt($target, IPPROTO_TCP, TCP_NODELAY, 1);
break_when_closed(1);
fcntl($target, F_SETFL, fcntl($target, F_GETFL, 0) | O_NONBLOCK);
tell_client('o', 0);

my $number = fileno $target;
# What came and is not read yet, how much of it is data, and what the target has not taken yet.
my ($input, $left, $waiting) = ('', 0, '');
# How much the client takes, and what went each way, as the frames count it.
my ($credit, $sent, $came) = ($window, 0, 0);
my ($client_ended, $shut, $target_ended, $deaf) = (0, 0, 0, 0);
# Why the target's connection broke, where writing to it was told: reading is then told of an end.
my $lost;
# For how long nothing was heard. One round takes no more than 5 s, whatever the clock was set to meanwhile.
my ($idle, $before) = (0, time);
while (1) {
    my ($reads, $writes) = ('', '');
    vec($reads, 0, 1) = 1;
    vec($reads, $number, 1) = 1 if !$target_ended && $credit > 0;
    vec($writes, $number, 1) = 1 if length $waiting;
    my $ready = select($reads, $writes, undef, 5);
    if ($ready < 0) {
        next if $! == EINTR;
        fail("broken $!");
    }
    my $now = time;
    my $took = $now - $before;
    $idle += $took < 0 ? 0 : $took > 5 ? 5 : $took;
    $before = $now;
    if ($ready && vec($reads, 0, 1)) {
        unless (sysread(STDIN, $input, 131072, length $input)) {
            break_when_closed(1);
            exit 0;
        }
        $idle = 0;
        while (length $input) {
            if ($left) {
                my $data = substr($input, 0, $left, '');
                $left -= length $data;
                $came = ($came + length $data) & 0xffffffff;
                if   ($deaf) { tell_client('a', length $data) }
                else         { $waiting .= $data }
                next;
            }
            last if length $input < 5;
            my ($kind, $count) = unpack('aN', substr($input, 0, 5, ''));
            if    ($kind eq 'd') { $left = $count }
            elsif ($kind eq 'a') {
                # One that was said again comes late, and takes nothing back.
                my $now = $window - (($sent - $count) & 0xffffffff);
                $credit = $now if $now > $credit;
            }
            elsif ($kind eq 'e') {
                fail("broken $came bytes came of $count") if $came != $count;
                $client_ended = 1;
            }
            elsif ($kind eq 'r') {
                break_when_closed(1);
                close $target;
                tell_client('s', 0);
                exit 0;
            }
            elsif ($kind ne 'p') { fail('broken input that can not be read') }
        }
    }
    if ($idle > $silence) {
        break_when_closed(1);
        exit 0;
    }
    next unless $ready;
    if (length $waiting) {
        my $wrote = syswrite($target, $waiting);
        if (defined $wrote) {
            substr($waiting, 0, $wrote, '');
            tell_client('a', $wrote) if $wrote;
        }
        elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) {
            # A target that ended and reads no more has said all of its answer.
            $lost = "$!" if $! != EPIPE;
            $deaf = 1;
            tell_client('a', length $waiting);
            $waiting = '';
        }
    }
    if ($client_ended && !$shut && !length $waiting) {
        break_when_closed(0);
        shutdown($target, 1);
        $shut = 1;
        tell_client('s', 0);
    }
    if (vec($reads, $number, 1)) {
        my $got = sysread($target, my $data, $credit < 32768 ? $credit : 32768);
        if (!defined $got) {
            fail("broken $!") if $! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR;
        }
        elsif ($got) {
            $credit -= $got;
            $sent = ($sent + $got) & 0xffffffff;
            tell_client('d', $got, $data);
        }
        elsif (defined $lost) {
            fail("broken $lost");
        }
        else {
            $target_ended = 1;
            tell_client('e', $sent);
        }
    }
    exit 0 if $target_ended && ($shut || $deaf);
}
