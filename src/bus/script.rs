//! What Redis does with a batch of events, in one step.

/// KEYS: stream, sorted set of the ids in it. ARGV: cap, then for each event id, channel, JSON, and
/// "1" when it is kept. Returns for each event 1, or 0 when the stream has it already.
///
/// All entries are written first, then all events are published. A command that Redis refuses in
/// the middle (memory, a replica, rights) takes back the entries whose events are not published
/// yet, and its error is the answer: sent again, the batch meets the state before it. An event is
/// so never in the stream without having been published.
pub(super) const SCRIPT: &str = "\
local cap = tonumber(ARGV[1])
local entries, known, done = {}, {}, {}
local function refused(answer) return type(answer) == 'table' and answer.err end
local function undo(from, answer)
  for i = from, #ARGV, 4 do
    if entries[i] then
      redis.pcall('XDEL', KEYS[1], entries[i])
      redis.pcall('ZREM', KEYS[2], ARGV[i])
    end
  end
  return answer
end
for i = 2, #ARGV, 4 do
  if ARGV[i + 3] == '1' then
    local score = redis.pcall('ZSCORE', KEYS[2], ARGV[i])
    if refused(score) then return undo(2, score) end
    known[i] = score
    if not score then
      local entry = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', cap, '*', 'event', ARGV[i + 2])
      if refused(entry) then return undo(2, entry) end
      entries[i] = entry
      local added = redis.pcall('ZADD', KEYS[2], string.match(entry, '^%d+'), ARGV[i])
      if refused(added) then return undo(2, added) end
    end
  end
end
for i = 2, #ARGV, 4 do
  if known[i] then
    done[#done + 1] = 0
  else
    local heard = redis.pcall('PUBLISH', ARGV[i + 1], ARGV[i + 2])
    if refused(heard) then return undo(i, heard) end
    done[#done + 1] = 1
  end
end
redis.pcall('ZREMRANGEBYRANK', KEYS[2], 0, -cap - 1001)
return done";
