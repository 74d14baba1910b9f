"""Mailboxes: SQL rows that refer to the journal (DESIGN §7). What services use:

    mailboxes = Mailboxes(database)                  create, rename, delete, listing, subscribe, get (STATUS)
    messages = Messages(database, announce=…)        select, changes, fetch_rows, store_flags, copy, move,
                                                     expunge, remove, append, usage
    content = Content(database, Reader(journal))     read, pread, extent, section(s), stream, read_many
    search = TextSearch(content)                     matches, text_matches
    watcher = Watcher(database, subscriber)          watch: wakes a session; announcer = Announcer(publisher)
    deliver (shared.mailbox.deliver)                 the MDA's batch transaction

Ranges are sorted, disjoint UID ranges as in shared.imap.sequence; flags and keywords are shared.imap.flags.
"""
