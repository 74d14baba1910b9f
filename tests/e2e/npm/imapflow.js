// Drives imapflow against a stack and prints what it saw as one line of JSON.
// node imapflow.js HOST PORT USER PASSWORD CERTIFICATE
'use strict';
const fs = require('fs');
const { ImapFlow } = require('imapflow');

const [host, port, user, pass, certificate] = process.argv.slice(2);
const TIMEOUT = 20000; // ms

function client() {
    return new ImapFlow({
        host, port: Number(port), secure: true, auth: { user, pass }, logger: false, qresync: true,
        tls: { ca: fs.readFileSync(certificate), servername: 'localhost' }
    });
}

function text(subject) {
    return Buffer.from(`From: ${user}\r\nTo: ${user}\r\nSubject: ${subject}\r\n\r\ntext of ${subject}\r\n`);
}

function within(promise, what) {
    const timer = new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: nothing came`)), TIMEOUT).unref());
    return Promise.race([promise, timer]);
}

async function main() {
    const seen = {};
    const one = client(), two = client();
    await one.connect();
    await two.connect();
    seen.enabled = [...one.enabled].sort();
    seen.mailboxes = (await one.list()).map(box => [box.path, box.specialUse || '']).sort();
    await one.mailboxCreate('Projects/Ships');
    seen.created = (await one.status('Projects/Ships', { messages: true, uidNext: true, highestModseq: true })).messages;
    for (const n of [1, 2, 3]) {
        seen.appended = await one.append('INBOX', text(`number ${n}`), n === 1 ? ['\\Seen'] : [], new Date(1e12));
    }
    const lock = await one.getMailboxLock('INBOX');
    try {
        seen.fetched = [];
        for await (const m of one.fetch('1:*', { envelope: true, bodyStructure: true, flags: true, source: true, uid: true, size: true, threadId: true })) {
            seen.fetched.push([m.uid, m.envelope.subject, m.bodyStructure.type, [...m.flags].filter(flag => flag !== '\\Recent').sort(), m.source.length === m.size, Boolean(m.emailId)]);
        }
        seen.unseen = await one.search({ seen: false });
        seen.found = await one.search({ body: 'text of number 2' });
        // the other session marks a message; this one hears of it while it idles
        const flagged = new Promise(resolve => one.once('flags', resolve));
        const arrived = new Promise(resolve => one.once('exists', resolve));
        const other = await two.getMailboxLock('INBOX');
        try {
            one.idle().catch(() => {});
            await two.messageFlagsAdd('2', ['\\Flagged', '$Important']);
            seen.flagged = [...(await within(flagged, 'flags')).flags].filter(flag => flag !== '\\Recent').sort();
            await two.append('INBOX', text('number 4'));
            seen.arrived = (await within(arrived, 'exists')).count;
        } finally {
            other.release();
        }
        seen.moved = [...(await one.messageMove('1:2', 'Projects/Ships')).uidMap.entries()];
        seen.downloaded = (await one.fetchOne('1', { source: true })).source.toString().split('\r\n')[2];
        await one.messageDelete('1');
        seen.left = (await one.status('INBOX', { messages: true })).messages;
    } finally {
        lock.release();
    }
    await one.logout();
    await two.logout();
    console.log(JSON.stringify(seen, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
}

main().catch(error => { console.error(error); process.exit(1); });
