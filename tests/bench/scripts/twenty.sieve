require ["fileinto", "imap4flags", "variables", "subaddress", "envelope", "body", "relational", "comparator-i;ascii-numeric", "copy", "mailbox", "regex"];
if header :contains ["List-Id", "X-Mailing-List"] "python-dev.example.org" { fileinto :create "Lists/python-dev"; stop; }
if header :contains ["List-Id", "X-Mailing-List"] "linux-kernel.example.org" { fileinto :create "Lists/linux-kernel"; stop; }
if header :contains ["List-Id", "X-Mailing-List"] "postgresql-hackers.example.org" { fileinto :create "Lists/postgresql-hackers"; stop; }
if header :contains ["List-Id", "X-Mailing-List"] "ietf-smtp.example.org" { fileinto :create "Lists/ietf-smtp"; stop; }
if header :contains ["List-Id", "X-Mailing-List"] "debian-devel.example.org" { fileinto :create "Lists/debian-devel"; stop; }
if header :contains ["List-Id", "X-Mailing-List"] "git.example.org" { fileinto :create "Lists/git"; stop; }
if header :contains ["List-Id", "X-Mailing-List"] "nginx.example.org" { fileinto :create "Lists/nginx"; stop; }
if address :is :all "From" ["boss@example.com", "boss@example.net"] { addflag "\\Flagged"; }
if address :is :all "From" ["mother@example.com", "mother@example.net"] { addflag "\\Flagged"; }
if address :is :all "From" ["bank@example.com", "bank@example.net"] { addflag "\\Flagged"; }
if address :is :all "From" ["school@example.com", "school@example.net"] { addflag "\\Flagged"; }
if address :domain :is ["From", "Sender", "Reply-To"] ["shop.example", "deals.example", "news.example"] { fileinto :create "Shopping"; stop; }
if allof (header :matches "Subject" ["*facture*", "*receipt*"], not header :contains "Subject" "Re:") { fileinto :create "Invoices"; stop; }
if header :regex "Subject" "^\\[(ticket|case) #([0-9]+)\\]" { fileinto :create "Tickets"; stop; }
if anyof (exists "X-Spam-Flag", header :value "gt" :comparator "i;ascii-numeric" "X-Spam-Score" "8") { fileinto "Junk"; stop; }
if envelope :detail "to" "orders" { fileinto :create "Orders"; stop; }
if size :over 5M { fileinto :create "Large"; stop; }
if address :localpart :matches "From" "*-noreply" { addflag "$Automatic"; }
if header :matches "Subject" "*[*]*" { set :lower "tag" "${2}"; if string :is "${tag}" ["todo", "urgent"] { addflag "$Todo"; } }
if header :is "Auto-Submitted" ["auto-generated", "auto-replied"] { fileinto :create "Automatic"; stop; }
if true { fileinto "Archive"; }
