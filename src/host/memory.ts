import os from 'node:os'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { systemClock } from '../time/clock.ts'
import { findControlGroup } from './control_group.ts'
import { hostFiles } from './files.ts'
import type { HostFiles } from './files.ts'

/** The fraction of the memory outside of the heap and its buffers that each call of `doubt` assumes to be free. */
const DOUBT = 0.02

/** Memory that this process shares with others, or has to itself. */
export class Memory {
  #peak = 0
  #others = Infinity

  /**
   * @param total bytes of memory that exist
   * @param resident reads the bytes in use, at least those of this process, as the kernel sees them
   */
  constructor(
    readonly total: number,
    readonly resident: () => number,
  ) {}

  /**
   * Bytes that are in use, and bytes that are resident. An allocator keeps memory that it was given back: when 300 MiB
   * of buffers have come and gone, glibc still has all of them resident, and the next 300 MiB take no more. So the
   * memory outside of V8's heap and its buffers is only known when more is resident than ever before; otherwise the
   * heap and buffers count as they are now.
   */
  look(): { used: number; resident: number } {
    const { heapTotal, external } = process.memoryUsage()
    const resident = this.resident()
    const others = Math.max(0, resident - heapTotal - external)
    this.#others = resident > this.#peak ? others : Math.min(this.#others, others)
    this.#peak = Math.max(this.#peak, resident)
    return { used: this.#others + heapTotal + external, resident }
  }

  /**
   * Some memory outside of the heap and its buffers may have been given back, too, which nothing reports. If it was
   * not, the next allocation finds no room in the resident memory, and so is noticed.
   */
  doubt(): void {
    this.#others *= 1 - DOUBT
  }
}

const files = hostFiles()

/** Resident memory of this process that belongs to no file; compared with the machine's memory. */
export const processMemory = new Memory(os.totalmem(), () => {
  const rss = process.memoryUsage.rss()
  // Pages: all, resident, and those of them that are of files or shared. Source: proc_pid_statm(5).
  const [, resident, shared] = files.optionalText('proc/self/statm')?.split(' ').map(Number) ?? []
  return resident === undefined ? rss : rss * (1 - shared / resident)
})

/**
 * Memory that the control group of this process has in use, if the group has a limit, because the kernel kills
 * processes of the group at that limit. Pages of files are left out, even those that are read again and again: the
 * kernel gives them up first.
 */
export function findContainerMemory(own: HostFiles = files): Memory | undefined {
  // Without /proc, no control group is known.
  if (own.optionalText('proc/self/cgroup') === undefined) return undefined
  const group = findControlGroup(own, 'memory')
  const limit = group?.memory().limit
  if (group === undefined || limit === undefined || limit > os.totalmem()) return undefined
  return new Memory(limit, () => {
    const { usage = 0, stat } = group.memory()
    return usage - (stat('inactive_file') ?? 0) - (stat('active_file') ?? 0)
  })
}

let container: { readonly memory: Memory | undefined } | undefined

/** The memory of the container, or of the machine if the container has no limit. */
export function availableMemory(): Memory {
  container ??= { memory: process.platform === 'linux' ? findContainerMemory() : undefined }
  return container.memory ?? processMemory
}

/** How full V8's heap is, from 0 to 1; V8 ends the process at 1. */
export function heapFill(): number {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  return used / limit
}

/** The largest part of the time that garbage collection may take, even if it is urgent. */
const COLLECTING = { usual: 0.1, urgent: 0.25 }

let collectGarbage: (() => void) | undefined
let collected = { end: -Infinity, took: 0 }

/**
 * Collects garbage, because V8 does so too late: it hardly sees buffers, and a process that refuses all data allocates
 * nothing that would trigger it. Returns false instead if that would take too much of the time.
 */
export function collect(need: keyof typeof COLLECTING): boolean {
  const begin = systemClock.monotonic()
  if (begin < collected.end + collected.took * (1 / COLLECTING[need] - 1)) return false
  collectGarbage ??= exposedCollector()
  // Garbage found by the first run is freed in the background; the second waits for that, so that it counts as free.
  collectGarbage()
  collectGarbage()
  const end = systemClock.monotonic()
  collected = { end, took: end - begin }
  return true
}

/** A script of a new context sees the flag, whatever the process was started with. */
function exposedCollector(): () => void {
  setFlagsFromString('--expose-gc')
  const exposed = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  return exposed
}
