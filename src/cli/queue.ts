import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Batch } from '../otlp/signal.ts'
import { itemsText, namesIn, signals } from '../otlp/signals.ts'
import { toOtlpJson } from '../otlp/json/write.ts'
import { InUseError } from '../pipeline/queue/lock.ts'
import { dropQueue, findQueues, storedRecords } from '../pipeline/queue/stored.ts'
import type { StoredQueue } from '../pipeline/queue/stored.ts'
import { visible, visibleJson } from '../text/terminal.ts'
import { ExitCode } from './exit.ts'

export type QueueAction = 'list' | 'inspect' | 'export' | 'drop'

/**
 * `heka-pipeline queue ACTION DIRECTORY`; DIRECTORY as in `sending_queue.directory`, or the folder of one exporter in it.
 * Returns the exit code.
 */
export async function queueCommand(action: QueueAction, directory: string): Promise<number> {
  let queues: readonly StoredQueue[]
  try {
    queues = await findQueues(resolve(directory))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    process.stderr.write(`cannot read ${directory}: ${message}; give the \`sending_queue.directory\` of an exporter\n`)
    return ExitCode.usage
  }
  if (queues.length === 0) {
    process.stderr.write(`The queues in ${directory} are empty.\n`)
    return action === 'list' ? ExitCode.ok : ExitCode.failure
  }
  for (const problem of queues.flatMap(({ problems }) => problems)) process.stderr.write(`${problem}\n`)
  if (action === 'drop') return drop(queues)
  const lines = { list, inspect, export: exportLines }[action](queues)
  await pipeline(Readable.from(lines), process.stdout, { end: false }).catch((error: NodeJS.ErrnoException) => {
    // The reader has seen enough.
    if (error.code !== 'EPIPE') throw error
  })
  return ExitCode.ok
}

async function* list(queues: readonly StoredQueue[]): AsyncGenerator<string> {
  for (const queue of queues) {
    const { records, items, bytes } = queue.waiting
    let since = ''
    for await (const oldest of storedRecords(queue)) {
      since = `, the oldest from ${time(oldest.time)}`
      break
    }
    const use = queue.inUse ? ', used by a process' : ''
    yield `${queue.id}: ${batchesText(records)}, ${itemsText(queue.signal, items)}, ${bytes} bytes${since}${use}\n`
  }
}

async function* inspect(queues: readonly StoredQueue[]): AsyncGenerator<string> {
  for (const queue of queues) {
    yield `${queue.id}\n`
    for await (const { time: taken, items, length, payload } of storedRecords(queue)) {
      yield `  ${time(taken)}  ${itemsText(queue.signal, items)}  ${length} bytes  ${namesText(batchOf(queue, payload))}\n`
    }
  }
}

async function* exportLines(queues: readonly StoredQueue[]): AsyncGenerator<string> {
  for (const queue of queues) {
    for await (const { payload } of storedRecords(queue)) yield `${visibleJson(toOtlpJson(batchOf(queue, payload)))}\n`
  }
}

async function drop(queues: readonly StoredQueue[]): Promise<number> {
  let code: number = ExitCode.ok
  for (const queue of queues) {
    try {
      const { records, items } = await dropQueue(queue)
      process.stdout.write(`${queue.id}: dropped ${batchesText(records)}, ${itemsText(queue.signal, items)}\n`)
    } catch (error) {
      if (!(error instanceof InUseError)) throw error
      process.stderr.write(`${queue.id}: ${error.message}; stop it first\n`)
      code = ExitCode.failure
    }
  }
  return code
}

/** The names that are shown for a batch with many metrics. */
const NAMES = 5

function batchOf({ signal }: StoredQueue, payload: Uint8Array): Batch {
  return signals[signal].fromOtlp(payload)
}

function namesText(batch: Batch): string {
  const names = [...new Set(namesIn(batch))]
  const more = names.length > NAMES ? ` and ${names.length - NAMES} more` : ''
  return visible(names.slice(0, NAMES).join(', ')) + more
}

function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

function batchesText(count: number): string {
  return `${count} ${count === 1 ? 'batch' : 'batches'}`
}
