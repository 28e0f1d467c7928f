-- Every key of the queue and every field of a request's record. Scripts get the values of these names, as literals.
--
-- The hash tag {q} keeps all keys in one slot, since scripts make names out of ids. Every script is called with
--   KEYS[1]  {q}, for the routing alone
--   ARGV[1]  1 when the call is tried again after an answer that never came, so it may have happened already; else 0
--   ARGV[2]  now, in milliseconds since 1970; all times are such
-- and lists only what follows in its own header. Likewise they get the policy, from queue.Config:
--   KEEP and LEASE (milliseconds), KEEP_EVENTS (as text), ATTEMPTS, FAIR_SHARE, ANNOUNCE and RECENT (milliseconds).
-- A number that becomes an argument of redis.call costs as much as a small command, so what is written often is text.

local RECORD   = '{q}r'          -- hash, + request id: the record, see below
local EXTRA    = '{q}x'          -- hash, + request id: p progress (JSON), f failure (JSON, or ! and the code of the queue's
                                 --   own), w warnings (JSON, one a line); only for requests that have any
local READY    = '{q}ready:'     -- sorted set, + stage: request ids by priority and place, see score()
local LEASED   = '{q}leased:'    -- sorted set, + stage: request ids by the end of their lease
local DELAYED  = '{q}delayed:'   -- sorted set, + stage: request ids by the time of their retry
local SLOTS    = '{q}slots:'     -- sorted set, + stage: workers by the end of their slot
local LAUNCHED = '{q}launched:'  -- sorted set, + stage: reservations for launched workers, by their end
local TURNS    = '{q}turns:'     -- hash, + stage, for fair share: priority -> turn of the newest claim, priority:caller ->
                                 --   turn of the caller's newest task, while that one is still to come
local REAPED   = '{q}reaped'     -- hash: stage -> when the reaper last looked at all of its leases; ends -> how many requests had been
                                 --   completed, failed and canceled in its last pass, before -> in the one before, at -> when
local WHOLE    = '{q}whole'      -- exists once a rebuild has looked for everything that this Redis may have lost
local HANDOVER = '{q}handover'   -- sorted set: requests between two stages, by the completion of the first
local ENDED    = '{q}ended'      -- sorted set: requests whose end nobody has announced, by the time from which the reaper does it
local PROMISED = '{q}promised:'  -- MessagePack, + request id: digest of the name of an upload -> how many bytes it may have, see
                                 --   promise; until the request ends
local SESSIONS = '{q}s'          -- hash, + bucket: digest of session_key() -> request id, see index()
local TOKENS   = '{q}t'          -- hash, + bucket: digest of a token hash -> request id
local AGENDA   = '{q}agenda'     -- sorted set: minutes for which there is a list
local MINUTE   = '{q}agenda:'    -- list, + minute: d or k and a request id: a deadline, or an end of keeping, in that minute
local COUNTS   = '{q}counts'     -- hash: old and new status -> how often that happened; > is unknown, < is forgotten
local SEQUENCE = '{q}sequence'   -- number of tasks enqueued
local EVENTS   = '{q}events'     -- stream of transitions: e -> id stage status kind time [code or progress]

-- The record, one or two letters a field: names are repeated in every record. Values of up to 64 bytes, in a hash of up to
-- 128 fields, are stored as one block (hash-max-listpack-value, hash-max-listpack-entries).
--   as submitted   r r1 r2.. what only clients and workers read, see identity(), in pieces of 64 bytes: all are full but the
--                  last; p priority, unless 0
--   the request    S status: Q P C F X, u updated (when that was after e), z started, y finished, E 1 when it has an EXTRA
--   the task       v 1 when its worker has saved its state, so that attempts were counted anew,
--                  n 1 when the reaper has extended the lease of a worker that has not been heard since,
--                  g stage: f p d t e, k state: r ready, l leased, d delayed (empty: there is no task), e enqueued, q score,
--                  a attempts, A exhausted attempts, x end of the lease or of the delay, f fence of the newest
--                  lease, with a minus when that ran out, w worker,
--                  i ig input: bucket and name; generation, size, crc32c and content type
--   what is done   D newest completed stage, F fence of the lease that did it, m mg its manifest

-- An order of stages: the place of their letters.
local ORDER = 'fpdte'
