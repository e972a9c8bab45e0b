// Prints each verdict on a device's firmware as it changes, and misses none: what got lost on the way (a slow
// spell, a broken connection, a restart of fwsyncd or of this program) is asked for with `changes`.
//     npm ci && node follow.js [FILE]
// FILE keeps how far we are, to go on from there (killed at the wrong moment, one line comes again); else: from now.
const fs = require('fs')
const zmq = require('zeromq')
const { FWSYNC_QUERY = 'tcp://127.0.0.1:7602', FWSYNC_RESULTS = 'tcp://127.0.0.1:7603' } = process.env
const file = process.argv[2]
// Of each partition, n: the last result that was handled; after: the last event all of whose results were.
const last = file && fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : {}

function handle (result) { // what you do with it
  console.log(`${result.device}: ${result.data.fwSyncState}, ${result.data.fwSyncReason}`)
}

function handled (partition, n, after) {
  last[partition] = { n, after }
  if (file) { fs.writeFileSync(file + '.new', JSON.stringify(last)); fs.renameSync(file + '.new', file) }
}

function take (result) {
  const { partition = 0, n, seq } = result
  if (last[partition]?.n >= n) return // had it
  handle(result)
  handled(partition, n, seq - 1) // there may be more of this event
}

async function ask (question) {
  const socket = new zmq.Request({ linger: 0, receiveTimeout: 60000 })
  socket.connect(FWSYNC_QUERY)
  await socket.send(JSON.stringify(question))
  const answer = JSON.parse((await socket.receive())[0])
  socket.close()
  if (answer.ok) return answer
  throw new Error(answer.error) // `gone`: we were away for too long; begin again without FILE
}

async function fill () {
  for (let page = { after: Math.min(...Object.values(last).map(one => one.after)), more: true }; page.more;) {
    page = await ask({ op: 'changes', class: 'sync', after: page.after })
    page.results.forEach(take)
  }
}

async function main () {
  const socket = new zmq.Subscriber({ tcpKeepalive: 1, tcpKeepaliveIdle: 2, tcpKeepaliveInterval: 2 })
  socket.connect(FWSYNC_RESULTS)
  socket.subscribe('sync/', 'heartbeat') // a heartbeat, each second, has the latest n of each class
  for await (const [topic, body] of socket) {
    const result = JSON.parse(body), { partition = 0, seq } = result
    const n = String(topic) === 'heartbeat' ? result.n.sync || 0 : result.n - 1 // what should be handled by now
    if (!last[partition]) handled(partition, n, seq - 1)
    if (n > last[partition].n) await fill()
    if (String(topic) !== 'heartbeat') take(result)
    else if (n === last[partition].n) handled(partition, n, seq)
  }
}

main().catch(error => { console.error(error.message); process.exit(1) })
