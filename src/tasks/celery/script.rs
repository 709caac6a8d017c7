//! What Redis does in one step: the Lua scripts, and the keys they touch.
//!
//! | key | kind | life |
//! |---|---|---|
//! | `<queue>` and `<queue>␆␖3`, `6`, `9` | list | kombu's: until empty |
//! | `unacked`, `unacked_index` | hash, sorted set | kombu's: an entry for each message in hand |
//! | `unacked_mutex` | text | kombu's: 300 s at most |
//! | `bongsu:tasks:claims` | hash, tag → worker, or `@`id of a message that waits for its ETA | an entry for each message in hand |
//! | `bongsu:tasks:workers` | sorted set, worker → last beat | an entry is gone an hour after the last beat |
//! | `bongsu:tasks:epoch` | text | for ever: tells a Redis that came back empty |
//! | `bongsu:tasks:done:<tag>` | text | an hour |
//! | `bongsu:tasks:step:<uuid>` | text | a minute |
//! | `bongsu:tasks:rejected` | list, the last 1,000 | a week after the last one |
//! | `bongsu:tasks:sent:<id>` | text | a day after it was last sent |
//! | `celery-task-meta-<id>`, `celery-taskset-meta-<group>…` | Celery's results and chords | a day, as a rule |
//!
//! Times are Redis's own, so that workers whose clocks differ agree. A script that finds no memory left
//! fails at its first write and has changed nothing: Redis asks before the first one alone.

/// Messages in hand, by tag.
pub(super) const CLAIMS: &str = "bongsu:tasks:claims";
/// Workers of this kind, by their last beat.
pub(super) const WORKERS: &str = "bongsu:tasks:workers";
/// A word that is lost with everything else.
pub(super) const EPOCH: &str = "bongsu:tasks:epoch";
/// Put before the tag of a message that was finished while it lay elsewhere.
pub(super) const DONE: &str = "bongsu:tasks:done:";
/// Put before the name of a step that was done.
pub(super) const STEP: &str = "bongsu:tasks:step:";
/// Elements of the queue that were no message.
pub(super) const REJECTED: &str = "bongsu:tasks:rejected";
/// Life of the mark of a sent id, seconds: as long as a result, as a rule.
pub(super) const SENT_LIFE: &str = "86400";
/// Put before the id of a call that was sent from here.
pub(super) const SENT: &str = "bongsu:tasks:sent:";
/// kombu's messages in hand, by tag.
pub(super) const UNACKED: &str = "unacked";
/// When each was taken.
pub(super) const UNACKED_INDEX: &str = "unacked_index";
/// Who puts lost ones back.
pub(super) const UNACKED_MUTEX: &str = "unacked_mutex";

/// A script and its name for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    pub name: &'static str,
    pub text: &'static str,
}

/// Takes messages, most urgent list first, each into kombu's `unacked` before it leaves its list.
///
/// KEYS: four lists, unacked, its index, claims, workers, rejected. ARGV: how many, who, what closes
/// the entry in unacked, seconds after which a silent worker is lost, bytes of a message at most, the
/// prefix of done. Returns for each: a verdict, its tag, and the message.
///
/// - `new`: now the caller's. `mine`: it was the caller's before and had been put back by somebody.
/// - `held`: a living worker has it in hand: the copy becomes that worker's message again.
/// - `done`: it was finished while the copy lay in the queue.
/// - `junk`: no JSON object; kept aside. `large`: its last 8 KiB, where kombu writes the headers.
pub(super) const TAKE: Script = Script {
    name: "take",
    text: "\
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local stamp = string.format('%d.%06d', tonumber(t[1]), tonumber(t[2]))
local want, me, suffix = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local lost, most = now - tonumber(ARGV[4]), tonumber(ARGV[5])
local out, n = {}, 0
redis.call('ZADD', KEYS[8], stamp, me)
local function alive(who)
  local beat = redis.call('ZSCORE', KEYS[8], who)
  return beat and tonumber(beat) > lost
end
local function take(raw)
  if #raw > most then return {'large', '', string.sub(raw, -8192)} end
  local ok, message = pcall(cjson.decode, raw)
  if not ok or type(message) ~= 'table' then
    redis.call('LPUSH', KEYS[9], raw)
    redis.call('LTRIM', KEYS[9], 0, 999)
    redis.call('EXPIRE', KEYS[9], 604800)
    return {'junk', '', raw}
  end
  local properties = message.properties
  local tag = type(properties) == 'table' and properties.delivery_tag
  if type(tag) ~= 'string' or tag == '' then tag = redis.sha1hex(raw .. stamp .. n) end
  if redis.call('EXISTS', ARGV[6] .. tag) == 1 then return {'done', tag, ''} end
  local holder = redis.call('HGET', KEYS[7], tag)
  redis.call('HSET', KEYS[5], tag, '[' .. raw .. suffix)
  redis.call('ZADD', KEYS[6], stamp, tag)
  if holder and holder ~= me and alive(holder) then return {'held', tag, ''} end
  redis.call('HSET', KEYS[7], tag, me)
  return {holder == me and 'mine' or 'new', tag, raw}
end
for k = 1, 4 do
  while n < want do
    local batch = redis.call('LRANGE', KEYS[k], n - want, -1)
    if #batch == 0 then break end
    for i = #batch, 1, -1 do
      n = n + 1
      out[n] = take(batch[i])
    end
    redis.call('RPOP', KEYS[k], #batch)
  end
end
return out",
};

/// Finishes tasks: what they send, their results, their messages. In this order, all or nothing.
///
/// KEYS: unacked, its index, claims, the mark of this step. ARGV: who, the prefix of done, its life in
/// seconds; then for each task: tag, number of chords, of messages and of results, whether to acknowledge; then so many of
/// (group key, size), (list, message), (key, life, JSON). Returns for each task 1: acknowledged; 0: the
/// message was not there (or not to be acknowledged); 2: somebody had finished it before.
///
/// Nothing is sent for a task that somebody else has finished; a stored SUCCESS is never overwritten.
/// A task whose message has gone elsewhere leaves a mark by which the copy is known when it is taken.
/// The step leaves a mark too: asked again, because its answer was lost, it gives the same answer and
/// does nothing.
pub(super) const FINISH: Script = Script {
    name: "finish",
    text: "\
local i, out = 4, {}
local done = redis.call('GET', KEYS[4])
if done then
  for code in string.gmatch(done, '%d') do out[#out + 1] = tonumber(code) end
  return out
end
local function arg() i = i + 1; return ARGV[i - 1] end
local function succeeded(key)
  local old = redis.call('GET', key)
  if not old then return false end
  local head = string.sub(old, 1, 24)
  if string.find(head, '\"status\"', 1, true) then
    return string.find(head, '\"SUCCESS\"', 1, true) ~= nil
  end
  local ok, meta = pcall(cjson.decode, old)
  return ok and type(meta) == 'table' and meta.status == 'SUCCESS'
end
while i <= #ARGV do
  local tag = arg()
  local chords, messages, results = tonumber(arg()), tonumber(arg()), tonumber(arg())
  local acknowledge = arg()
  local before = tag ~= '' and redis.call('EXISTS', ARGV[2] .. tag) == 1
  for _ = 1, chords do
    local key, size = arg(), arg()
    if not before then
      redis.call('DEL', key .. '.c')
      redis.call('SET', key .. '.s', size, 'EX', 86400)
    end
  end
  for _ = 1, messages do
    local list, message = arg(), arg()
    if not before then redis.call('LPUSH', list, message) end
  end
  for _ = 1, results do
    local key, life, json = arg(), arg(), arg()
    if not before and not succeeded(key) then
      if life == '0' then
        redis.call('SET', key, json)
      else
        redis.call('SETEX', key, life, json)
      end
      redis.call('PUBLISH', key, json)
    end
  end
  local there = 0
  if acknowledge == '1' then
    there = redis.call('HDEL', KEYS[1], tag)
    redis.call('ZREM', KEYS[2], tag)
    if redis.call('HGET', KEYS[3], tag) == ARGV[1] then redis.call('HDEL', KEYS[3], tag) end
    if there == 0 and not before then
      redis.call('SET', ARGV[2] .. tag, ARGV[1], 'EX', ARGV[3])
    end
  end
  out[#out + 1] = before and 2 or there
end
redis.call('SET', KEYS[4], table.concat(out), 'EX', 60)
return out",
};

/// Says that a worker lives, and that it has these messages in hand.
///
/// KEYS: workers, unacked, its index, claims, epoch, four lists. ARGV: who, a word for a new epoch, tags.
/// Returns whether the epoch is new, the messages that wait, and the tags that are no longer the
/// caller's.
pub(super) const BEAT: Script = Script {
    name: "beat",
    text: "\
local t = redis.call('TIME')
local stamp = string.format('%d.%06d', tonumber(t[1]), tonumber(t[2]))
redis.call('ZADD', KEYS[1], stamp, ARGV[1])
local fresh = redis.call('SET', KEYS[5], ARGV[2], 'NX') and 1 or 0
local waiting = 0
for k = 6, 9 do waiting = waiting + redis.call('LLEN', KEYS[k]) end
local out = {fresh, waiting}
for i = 3, #ARGV do
  local tag = ARGV[i]
  local mine = redis.call('HGET', KEYS[4], tag) == ARGV[1]
  if mine and redis.call('HEXISTS', KEYS[2], tag) == 1 then
    redis.call('ZADD', KEYS[3], 'XX', stamp, tag)
  else
    out[#out + 1] = tag
  end
end
return out",
};

/// Puts messages back into hand that a Redis which came back without its data has forgotten.
///
/// KEYS: unacked, its index, claims. ARGV: who, what closes the entry, the life of a mark, then tag, message and
/// the mark of its id. The mark says that the queue knows the call, so that who sent it does not send it
/// again.
pub(super) const ADOPT: Script = Script {
    name: "adopt",
    text: "\
local t = redis.call('TIME')
local stamp = string.format('%d.%06d', tonumber(t[1]), tonumber(t[2]))
for i = 4, #ARGV, 3 do
  redis.call('SET', ARGV[i + 2], '1', 'EX', ARGV[3])
  if redis.call('HSETNX', KEYS[1], ARGV[i], '[' .. ARGV[i + 1] .. ARGV[2]) == 1 then
    redis.call('ZADD', KEYS[2], stamp, ARGV[i])
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[1])
  end
end
return 1",
};

/// Finds messages that are to be put back, and forgets workers that are long gone.
///
/// KEYS: unacked, its index, claims, workers. ARGV: seconds after which a silent worker is lost,
/// kombu's visibility time-out, seconds ahead of an ETA, how many at most. Returns for each: why (`lost`,
/// `late`, `due`), tag, claim, and the entry in unacked.
pub(super) const FIND: Script = Script {
    name: "find",
    text: "\
local t = redis.call('TIME')
local now = tonumber(t[1])
local lost, due, most = now - tonumber(ARGV[1]), now + tonumber(ARGV[3]), tonumber(ARGV[4])
local out = {}
local function alive(who)
  local beat = redis.call('ZSCORE', KEYS[4], who)
  return beat and tonumber(beat) > lost
end
local function found(why, tag, claim)
  local entry = redis.call('HGET', KEYS[1], tag)
  if not entry then
    redis.call('HDEL', KEYS[3], tag)
  else
    out[#out + 1] = {why, tag, claim, entry}
  end
end
local claims = redis.call('HGETALL', KEYS[3])
for i = 1, #claims, 2 do
  if #out >= most then break end
  local tag, claim = claims[i], claims[i + 1]
  if string.sub(claim, 1, 1) == '@' then
    local score = redis.call('ZSCORE', KEYS[2], tag)
    if not score then
      redis.call('HDEL', KEYS[3], tag)
    elseif tonumber(score) <= due then
      found('due', tag, claim)
    end
  elseif not alive(claim) then
    found('lost', tag, claim)
  end
end
local late = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[2]), 'LIMIT', 0, most)
for _, tag in ipairs(late) do
  if #out >= most then break end
  if not redis.call('HGET', KEYS[3], tag) then found('late', tag, '') end
end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - 3600)
return out",
};

/// Puts messages back at the end that is served next, those alone whose claim is still the one given.
///
/// KEYS: unacked, its index, claims. ARGV: tag, claim (empty: none), list and message of each. Returns
/// how many.
pub(super) const RESTORE: Script = Script {
    name: "restore",
    text: "\
local n = 0
for i = 1, #ARGV, 4 do
  local tag = ARGV[i]
  local claim = redis.call('HGET', KEYS[3], tag) or ''
  if claim == ARGV[i + 1] and redis.call('HEXISTS', KEYS[1], tag) == 1 then
    redis.call('RPUSH', ARGV[i + 2], ARGV[i + 3])
    redis.call('ZREM', KEYS[2], tag)
    redis.call('HDEL', KEYS[1], tag)
    redis.call('HDEL', KEYS[3], tag)
    n = n + 1
  end
end
return n",
};

/// Lets a message wait for its ETA without a worker: its place in kombu's index is the ETA itself, so
/// that no worker puts it back before.
///
/// KEYS: index, claims. ARGV: who, tag, ETA in seconds, `@` and the task's id. Returns whether it was the
/// caller's.
pub(super) const PARK: Script = Script {
    name: "park",
    text: "\
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[1] then return 0 end
redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
return 1",
};

/// Messages that wait for their ETA without a worker: all, or those of the ids given, which become the
/// caller's.
///
/// KEYS: unacked, claims. ARGV: who (empty: only look), how many at most, `@` and id of each. Returns tag
/// and entry of each.
pub(super) const PARKED: Script = Script {
    name: "parked",
    text: "\
local wanted, some, out = {}, #ARGV > 2, {}
for i = 3, #ARGV do wanted[ARGV[i]] = true end
local claims = redis.call('HGETALL', KEYS[2])
for i = 1, #claims, 2 do
  if #out >= 2 * tonumber(ARGV[2]) then break end
  local tag, claim = claims[i], claims[i + 1]
  if string.sub(claim, 1, 1) == '@' and (not some or wanted[claim]) then
    local entry = redis.call('HGET', KEYS[1], tag)
    if entry then
      if ARGV[1] ~= '' then redis.call('HSET', KEYS[2], tag, ARGV[1]) end
      out[#out + 1] = tag
      out[#out + 1] = entry
    end
  end
end
return out",
};

/// Messages under the caller's claim that it does not know of: the answer that brought them was lost.
///
/// KEYS: unacked, claims. ARGV: who, tags that it knows. Returns tag and entry of each other one.
pub(super) const STRAYS: Script = Script {
    name: "strays",
    text: "\
local known, out = {}, {}
for i = 2, #ARGV do known[ARGV[i]] = true end
local claims = redis.call('HGETALL', KEYS[2])
for i = 1, #claims, 2 do
  if claims[i + 1] == ARGV[1] and not known[claims[i]] then
    local entry = redis.call('HGET', KEYS[1], claims[i])
    if entry then
      out[#out + 1] = claims[i]
      out[#out + 1] = entry
    end
  end
end
return out",
};

/// Counts a finished part of a chord.
///
/// KEYS: `.j .t .s .d`, the bare key, `.c`. ARGV: the part, its mark, its place, seconds of life, seconds
/// of a claim, a token. Returns nothing while parts are missing, all parts in order to whoever is to
/// send the body; asked again with the same token, the same.
pub(super) const COUNT: Script = Script {
    name: "chord count",
    text: "\
if redis.call('GET', KEYS[6]) == 'done' then return {} end
if redis.call('SADD', KEYS[4], ARGV[2]) == 1 then
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end
for k = 1, 5 do redis.call('EXPIRE', KEYS[k], ARGV[4]) end
local size = redis.call('GET', KEYS[3])
if not size then return {} end
local all = tonumber(size) + tonumber(redis.call('GET', KEYS[2]) or 0)
if redis.call('ZCARD', KEYS[1]) ~= all then return {} end
if redis.call('GET', KEYS[6]) ~= ARGV[6]
  and not redis.call('SET', KEYS[6], ARGV[6], 'NX', 'EX', ARGV[5]) then return {} end
return redis.call('ZRANGE', KEYS[1], 0, -1)",
};

/// Sends a chord's body, or stores that it failed, and forgets the chord; nothing when the claim has run
/// out and is somebody else's.
///
/// KEYS: `.j .t .s .d .c`. ARGV: token, seconds that the end is remembered, number of messages, of results,
/// of chords; then these as in [`FINISH`]. Returns whether it was done.
pub(super) const CLOSE: Script = Script {
    name: "chord close",
    text: "\
if redis.call('GET', KEYS[5]) ~= ARGV[1] then return 0 end
local i = 6
local function arg() i = i + 1; return ARGV[i - 1] end
for _ = 1, tonumber(ARGV[5]) do
  local key, size = arg(), arg()
  redis.call('DEL', key .. '.c')
  redis.call('SET', key .. '.s', size, 'EX', 86400)
end
for _ = 1, tonumber(ARGV[3]) do
  local list, message = arg(), arg()
  redis.call('LPUSH', list, message)
end
for _ = 1, tonumber(ARGV[4]) do
  local key, life, json = arg(), arg(), arg()
  if life == '0' then redis.call('SET', key, json) else redis.call('SETEX', key, life, json) end
  redis.call('PUBLISH', key, json)
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('SET', KEYS[5], 'done', 'EX', ARGV[2])
return 1",
};

/// Gives kombu's mutex back, if it is still the caller's. KEYS: mutex. ARGV: token.
pub(super) const UNLOCK: Script = Script {
    name: "unlock",
    text: "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
};

/// Puts a call into the queue unless its id was sent before or has a result; the mark of one that was lives on.
///
/// KEYS: mark, list, result. ARGV: life of the mark, message. Returns whether it is new.
pub(super) const SEND: Script = Script {
    name: "send",
    text: "\
local known = redis.call('EXISTS', KEYS[3]) == 1
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  return 0
end
if known then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
return 1",
};
