#!lua name=fwsync
-- What fwsync does with a report, as a good Redis user would write it: the device is a small hash, read
-- with one command and written with one. The verdict is written only where it changed, and then who
-- listens hears of it. The version is written always: to compare it first costs more than it saves,
-- when most reports change it. A call takes one report or many: a name in `keys`, its event in `args`.

local function report(keys, args)
    for i, device in ipairs(keys) do
        local version = cjson.decode(args[i]).data.currentFwVer
        local saved = redis.call('HMGET', device, 'lastTargetFwVer', 'fwStateIsSynced')
        local synced = version == saved[1] and 'true' or 'false'
        if synced == saved[2] then
            redis.call('HSET', device, 'currentFwVer', version)
        else
            redis.call('HSET', device, 'currentFwVer', version, 'fwStateIsSynced', synced)
            redis.call('PUBLISH', 'fwStateIsSynced',
                       '{"device":"' .. device .. '","fwStateIsSynced":' .. synced .. '}')
        end
    end
    return #keys
end

redis.register_function('report', report)
