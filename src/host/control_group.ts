import { errorMessage } from '../errors.ts'
import type { HostFiles } from './files.ts'
import { whole } from './numbers.ts'

/** Half of the largest int64: the default limit of memory in version 1 is all pages that could exist, which is close to it. */
const NO_LIMIT = 2 ** 62

interface ControlGroupMemory {
  /** The page cache included. */
  readonly usage: number | undefined
  readonly limit: number | undefined
  /** A line of `memory.stat`. */
  readonly stat: (key: string) => number | undefined
}

/** Called with the parts that are not understood. */
interface Reporter {
  fail(cause: string, detail: string): void
}

const strict: Reporter = {
  fail(cause, detail) {
    throw new Error(`${cause} ${detail}`)
  },
}

/** The control group of this process for one controller, by the files in its folder. */
export class ControlGroup {
  constructor(
    readonly version: 1 | 2,
    private readonly own: HostFiles,
    private readonly folder: string,
  ) {}

  /** `undefined` if there is no such file: the kernel only makes those of enabled features. */
  text(file: string): string | undefined {
    return this.own.optionalText(`${this.folder}/${file}`)
  }

  /**
   * The whole numbers in a file, between blanks: `undefined` for those that mean no limit, which are `max`, `-1` and,
   * for memory in version 1, any number beyond all sizes; empty if there is no such file. A value that is not a number
   * is reported, and NaN.
   */
  numbers(file: string, reporter: Reporter): readonly (number | undefined)[] {
    return this.#lines(file).flatMap((line) =>
      line.split(' ').map((field) => figure(() => limitOf(field), file, reporter)),
    )
  }

  /** The numbers of a file that has a key and a number on each line. A value that is not a number is reported, and NaN. */
  table(file: string, reporter: Reporter): Partial<Record<string, number>> {
    const entries = this.#lines(file).map((line) => {
      const [key, value] = line.split(' ')
      return [key, figure(() => Number(whole(value)), file, reporter)] as const
    })
    return Object.fromEntries(entries)
  }

  /**
   * The figures of the controller `memory`, in bytes; `undefined` for those that it does not report, and for a limit
   * that does not limit.
   */
  memory(reporter = strict): ControlGroupMemory {
    const isNew = this.version === 2
    const [usage] = this.numbers(isNew ? 'memory.current' : 'memory.usage_in_bytes', reporter)
    const [limit] = this.numbers(isNew ? 'memory.max' : 'memory.limit_in_bytes', reporter)
    const stat = this.table('memory.stat', reporter)
    // Including those of the groups within it, which version 2 always counts.
    return { usage, limit, stat: (key) => stat[isNew ? key : `total_${key}`] }
  }

  #lines(file: string): string[] {
    return this.text(file)?.trim().split('\n') ?? []
  }
}

function figure<T>(read: () => T, file: string, reporter: Reporter): T | number {
  try {
    return read()
  } catch (error) {
    reporter.fail(`${file} is not understood.`, errorMessage(error))
    return NaN
  }
}

function limitOf(text: string): number | undefined {
  if (text === 'max' || text === '-1') return undefined
  const number = Number(whole(text))
  return number < NO_LIMIT ? number : undefined
}

/**
 * Finds the groups that this process is in, by the name of the controller (in version 1 of cgroups each may have a tree
 * of its own; the empty name stands for the tree of version 2). A container sees its own part of a tree, or the whole
 * tree if it shares the host's namespace of cgroups: the mount shows which part is there, and `/proc/self/cgroup` where
 * in it this process is. Source: cgroups(7), cgroup_namespaces(7), proc_pid_mountinfo(5).
 * @param own the root that this process lives in, not that of the host around it
 */
export function findControlGroup(own: HostFiles, controller: string): ControlGroup | undefined {
  const paths = new Map<string, string>()
  for (const [, names, path] of own.text('proc/self/cgroup').matchAll(/^\d+:([^:]*):(.*)$/gm)) {
    for (const name of names.split(',')) paths.set(name, path)
  }
  const version = controller !== '' && paths.has(controller) ? 1 : 2
  const path = paths.get(version === 1 ? controller : '')
  if (path === undefined) return undefined
  for (const line of own.text('proc/self/mountinfo').split('\n')) {
    // 36 35 0:30 /root /mountpoint ro,nosuid - cgroup cgroup rw,cpu,cpuacct
    const fields = line.split(' ')
    const [type, , options = ''] = fields.slice(fields.indexOf('-', 6) + 1)
    if (type !== (version === 1 ? 'cgroup' : 'cgroup2')) continue
    if (version === 1 && !options.split(',').includes(controller)) continue
    const [, , , root, mountpoint] = fields
    const top = root === '/' ? '' : root
    if (path === top || path.startsWith(`${top}/`)) {
      return new ControlGroup(version, own, `${mountpoint}${path.slice(top.length)}`.replace(/^\/|\/$/g, ''))
    }
  }
  return undefined
}
