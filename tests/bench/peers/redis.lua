#!lua name=fwsync
-- What fwsync does with a report, as a good Redis user would write it: the device is a small hash, read
-- with one command and written with one. A report that changes something is written, and who listens hears
-- of it, as with fwsync's own rules. A call takes one report or many: a name in `keys`, its event in `args`.

local function report(keys, args)
    for i, device in ipairs(keys) do
        local version = cjson.decode(args[i]).data.currentFwVer
        local saved = redis.call('HMGET', device, 'lastTargetFwVer', 'fwStateIsSynced', 'currentFwVer')
        local synced = version == saved[1] and 'true' or 'false'
        if synced ~= saved[2] or version ~= saved[3] then
            redis.call('HSET', device, 'currentFwVer', version, 'fwStateIsSynced', synced)
            redis.call('PUBLISH', 'sync', '{"device":"' .. device .. '","currentFwVer":"' .. version ..
                                          '","fwStateIsSynced":' .. synced .. '}')
        end
    end
    return #keys
end

redis.register_function('report', report)
