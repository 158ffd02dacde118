const net = require('net');

const [port, window, silence] = process.argv.slice(1).map(Number);

const tellClient = (kind, number, data) => {
    const head = Buffer.alloc(5);
    head.write(kind, 0, 'latin1');
    head.writeUInt32BE(number >>> 0, 1);
    process.stdout.write(data ? Buffer.concat([head, data]) : head);
};
const leave = () => process.stdout.write('', () => process.exit(0));
// The target sees a connection that broke.
let breakTarget = () => {};
const fail = (text) => {
    breakTarget();
    const data = Buffer.from(text);
    tellClient('x', data.length, data);
    leave();
};

const carry = (target) => {
    target.setNoDelay(true);
    breakTarget = () => (target.resetAndDestroy ? target.resetAndDestroy() : target.destroy());
    const abandon = () => {
        gone = true;
        breakTarget();
        process.exit(0);
    };
    tellClient('o', 0);
    // How much of what comes is data, what is not read yet, and how much the target has not taken yet.
    let [left, input, waiting] = [0, Buffer.alloc(0), 0];
    // How much the client takes, and what went each way, as the frames count it.
    let [credit, sent, came] = [window, 0, 0];
    let [clientEnded, shut, targetEnded, deaf, gone] = [false, false, false, false, false];
    // Why the target's connection broke, where writing to it was told: reading is then told of an end.
    let lost;
    // For how many seconds nothing was heard, whatever the clock was set to meanwhile.
    let idle = 0;

    const isOver = () => targetEnded && (shut || deaf) && !gone && ((gone = true), leave());
    const shutWhenTaken = () => {
        if (clientEnded && !shut && waiting === 0) {
            shut = true;
            target.end();
            tellClient('s', 0);
            isOver();
        }
    };
    const take = () => {
        while (credit > 0 && target.readableLength > 0) {
            const data = target.read(Math.min(credit, target.readableLength, 32768));
            if (!data) break;
            credit -= data.length;
            sent = (sent + data.length) >>> 0;
            tellClient('d', data.length, data);
        }
        // It tells of its end only once it is asked with nothing left.
        if (credit > 0 && target.readableLength === 0) target.read(0);
    };
    target.on('readable', take);
    target.on('end', () => {
        if (gone) return;
        if (lost) {
            gone = true;
            return fail(`broken ${lost}`);
        }
        targetEnded = true;
        tellClient('e', sent);
        isOver();
    });
    // A connection that fails at writing would be given up with what was not read of it. But a target that ended and
    // reads no more has said all of its answer.
    for (const name of ['_write', '_writev']) {
        const write = target[name];
        target[name] = (...args) => {
            const done = args.pop();
            write.call(target, ...args, (error) => {
                if (error) deaf = true;
                if (error && error.code !== 'EPIPE') lost = lost || error.code || error.message;
                done();
                isOver();
            });
        };
    }
    target.on('error', (error) => {
        if (gone) return;
        gone = true;
        if (targetEnded) leave();
        else fail(`broken ${error.code || error.message}`);
    });
    process.stdin.on('data', (data) => {
        idle = 0;
        input = input.length ? Buffer.concat([input, data]) : data;
        while (input.length) {
            if (left) {
                const part = input.subarray(0, left);
                input = input.subarray(part.length);
                left -= part.length;
                came = (came + part.length) >>> 0;
                waiting += part.length;
                target.write(part, () => {
                    waiting -= part.length;
                    tellClient('a', part.length);
                    shutWhenTaken();
                });
                continue;
            }
            if (input.length < 5) break;
            const [kind, count] = [String.fromCharCode(input[0]), input.readUInt32BE(1)];
            input = input.subarray(5);
            if (kind === 'd') left = count;
            else if (kind === 'a') {
                // One that was said again comes late, and takes nothing back.
                credit = Math.max(credit, window - ((sent - count) >>> 0));
                take();
            } else if (kind === 'e') {
                if (came !== count) {
                    gone = true;
                    return fail(`broken ${came} bytes came of ${count}`);
                }
                clientEnded = true;
                shutWhenTaken();
            } else if (kind === 'r') {
                gone = true;
                breakTarget();
                tellClient('s', 0);
                return leave();
            }
            else if (kind !== 'p') {
                gone = true;
                return fail('broken input that can not be read');
            }
        }
    });
    process.stdin.on('end', abandon);
    setInterval(() => (idle += 5) > silence && abandon(), 5000);
};

const connect = ([host, ...others], why) => {
    if (!host) return fail(`refused ${why}`);
    const target = net.connect({ host, port, allowHalfOpen: true });
    const refused = (error) => connect(others, why || error.code || error.message);
    target.once('error', refused);
    target.once('connect', () => {
        target.off('error', refused);
        carry(target);
    });
};
connect(['127.0.0.1', '::1']);
