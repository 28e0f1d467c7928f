-- Every key of the queue, and every field of a request's record. This file and functions.lua are put in front of each script.
--
-- Scripts make names of keys from request ids and stages, so one key stands for all of them: KEYS[1] is {q3}, the hash tag, which
-- leads a call to the shard that holds every key of the queue. 3 is the version of what is described here: see version.go.
-- Times are milliseconds since 1970. An object of the store is six fields: the name given here, then _bucket, _name, _generation,
-- _size, _crc and _type.

local REQUEST   = '{q3}request:'   -- hash, + request id: its record, see below
local REPORT    = '{q3}report:'    -- hash, + request id, once a worker has reported: progress and failure (JSON), and warnings
                                   --   (JSON, one a line)
local READY     = '{q3}ready:'     -- sorted set, + stage: request ids by priority and place, see score()
local LEASED    = '{q3}leased:'    -- sorted set, + stage: request ids by the end of their lease
local DELAYED   = '{q3}delayed:'   -- sorted set, + stage: request ids by the time of their retry
local SLOTS     = '{q3}slots:'     -- sorted set, + stage: workers by the end of their slot
local LAUNCHED  = '{q3}launched:'  -- sorted set, + stage: reservations for launched workers, by their end
local TURNS     = '{q3}turns:'     -- hash, + stage, for fair share: priority -> turn of the newest claim, priority:caller -> turn of
                                   --   the caller's newest task, until that is claimed
local REAPED    = '{q3}reaped'     -- hash: stage -> when the reaper last looked at all of its leases; finished -> how many requests
                                   --   had finished in its last pass, before -> in the pass before that, at -> time of its last pass
local HANDOVER  = '{q3}handover'   -- sorted set: requests between two stages, by the completion of the first
local FINISHED  = '{q3}finished'   -- sorted set: finished requests that are not announced, by the time from which the reaper does it
local PROMISED  = '{q3}promised:'  -- JSON, + request id, until it finishes: name of an upload -> how many bytes it may have
local SESSIONS  = '{q3}session:'   -- hashes: session_key() -> request id, see index()
local TOKENS    = '{q3}token:'     -- hashes: token hash -> request id
local AGENDA    = '{q3}agenda'     -- sorted set: minutes for which there is a list
local MINUTE    = '{q3}agenda:'    -- list, + minute: deadlines and requests to forget in that minute, see plan()
local COUNTS    = '{q3}counts'     -- hash: old status > new status -> how often that happened; unknown and forgotten are empty
local SEQUENCE  = '{q3}sequence'   -- number of tasks enqueued
local EVENTS    = '{q3}events'     -- stream of transitions: request, stage, status, kind, at, detail (a code, or progress as JSON)
-- {q3}whole exists once a rebuild has looked for everything that this Redis may have lost.

-- The record: a hash whose fields are missing as long as they are empty. Redis keeps a small hash as one block while no value in it is
-- longer than 64 bytes (hash-max-listpack-value). That is why an object is six fields and no JSON, and why reports are a hash of their
-- own: the record of a ready task takes 617 bytes as one block, and otherwise 1,832.
--   session, caller, token, priority, options (JSON), created, deadline   as submitted; token is the hash of the callback token
--   status      QUEUED, PROCESSING, COMPLETED, FAILED, CANCELED
--   updated, started, finished
--   stage       the current one
--   task        of that stage: ready, leased, delayed; empty once it is completed
--   input       object: what started the task
--   enqueued    when that was
--   score       of the task in READY
--   attempt     how many were begun
--   exhausted   how many of them ended with exhausted resources
--   fence       of the newest lease
--   lease_lost  1 once that lease was taken from its worker
--   ends        the lease, or the delay
--   worker      who holds the lease
--   extended    1 once the reaper has extended the lease, until its worker is heard
--   done_stage  the newest completed stage
--   done_fence  of the lease that completed it
--   manifest    object: what that stage wrote
