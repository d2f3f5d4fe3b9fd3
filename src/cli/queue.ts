import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Batch } from '../otlp/signal.ts'
import { signals } from '../otlp/signals.ts'
import { TraceBatch } from '../otlp/traces/batch.ts'
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
    yield `${queue.id}: ${counted(records, 'batch', 'batches')}, ${counted(items, itemOf(queue))}, ${bytes} bytes${since}${use}\n`
  }
}

async function* inspect(queues: readonly StoredQueue[]): AsyncGenerator<string> {
  for (const queue of queues) {
    yield `${queue.id}\n`
    for await (const { time: taken, items, length, payload } of storedRecords(queue)) {
      yield `  ${time(taken)}  ${counted(items, itemOf(queue))}  ${length} bytes  ${namesIn(batchOf(queue, payload))}\n`
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
      process.stdout.write(
        `${queue.id}: dropped ${counted(records, 'batch', 'batches')}, ${counted(items, itemOf(queue))}\n`,
      )
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

/** One of the queue's items, in words. */
function itemOf({ signal }: StoredQueue): string {
  return signals[signal].items.replace(/s$/, '')
}

function batchOf({ signal }: StoredQueue, payload: Uint8Array): Batch {
  return signals[signal].fromOtlp(payload)
}

/** For metrics and spans; records have no names. */
function namesIn(batch: Batch): string {
  const names = [...new Set(namesOf(batch))]
  const more = names.length > NAMES ? ` and ${names.length - NAMES} more` : ''
  return visible(names.slice(0, NAMES).join(', ')) + more
}

function* namesOf(batch: Batch): Generator<string> {
  if (batch instanceof MetricBatch) for (const { metric } of batch.metrics()) yield metric.name
  if (batch instanceof TraceBatch) for (const { span } of batch.spans()) yield span.name
}

function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
