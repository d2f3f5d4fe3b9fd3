import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cleanups } from './cleanups.ts'
import { addressOf, latestOf } from './events.ts'
import type { LoggedFields } from './events.ts'

/** The built command; `npm test` builds it first. */
export const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface RunningCommand {
  readonly pid: number
  /** What it has written so far. */
  readonly stdout: () => string
  readonly stderr: () => string
  /** Resolves when it has ended, with the exit code or the name of the signal that killed it. */
  readonly ended: Promise<number | string>
  /** Resolves when standard error or standard output contains `text`; rejects when the process ends before. */
  waitFor(text: string): Promise<void>
  /** Resolves with the latest line of this event in the log that has `fields`, as soon as there is one; rejects like `waitFor`. */
  logged(event: string, fields?: LoggedFields): Promise<LoggedFields>
  /** Resolves with the `host:port` at which a server has come to listen: `otlp_http`, `otlp_grpc`, `health`, `metrics`, `admin`. */
  readonly address: (server: string, fields?: LoggedFields) => Promise<string>
  kill(signal: NodeJS.Signals): void
  /** Stops reading what it writes, as `| head` does in the end. */
  close(stream: 'stdout' | 'stderr'): void
  /** Leaves standard output unread until `resume`, as a slow reader does. */
  pause(): void
  resume(): void
}

export interface ProcessOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** A file that standard output goes to, instead of being read. */
  readonly stdoutTo?: string
  /** A file that standard error goes to, instead of being read. */
  readonly stderrTo?: string
}

/**
 * Starts the real `heka-pipeline` command as a process, with nothing of Datadog's or a proxy's in its environment. Where it
 * runs a pipeline, its own metrics are on a port that the system chooses, unless `args` say otherwise.
 */
export function startCommand(args: readonly string[], options?: ProcessOptions): RunningCommand {
  const runs = args.length === 0 || /^(--config|-c|--from-env|--set)$/.test(args[0])
  const metrics = runs ? ['--set', 'service.telemetry.metrics.address=127.0.0.1:0'] : []
  return startProcess(process.execPath, [main, ...metrics, ...args], options)
}

/** Starts any program the same way. */
export function startProcess(
  program: string,
  args: readonly string[],
  { env = {}, cwd, stdoutTo, stderrTo }: ProcessOptions = {},
): RunningCommand {
  const [output, log] = [stdoutTo, stderrTo].map((path) => (path === undefined ? 'pipe' : openSync(path, 'w')))
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, ...env },
    cwd,
    stdio: ['ignore', output, log],
  })
  for (const file of [output, log]) if (typeof file === 'number') closeSync(file)
  let stdout = ''
  let stderr = ''
  let waiting: { what: string; isThere: () => boolean; resolve: () => void; reject: (error: Error) => void }[] = []
  const check = (): void => {
    waiting = waiting.filter(({ isThere, resolve }) => {
      if (!isThere()) return true
      resolve()
      return false
    })
  }
  const until = (what: string, isThere: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting.push({ what, isThere, resolve, reject })
      check()
    })
  const logged = async (event: string, fields: LoggedFields = {}): Promise<LoggedFields> => {
    const latest = (): LoggedFields | undefined => latestOf(stderr, event, fields)
    await until(`the event ${event} ${JSON.stringify(fields)}`, () => latest() !== undefined)
    return latest()!
  }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    check()
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    check()
  })
  const ended = new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => {
      for (const { what, reject } of waiting) reject(new Error(`The command ended without ${what}:\n${stderr}`))
      resolve(code ?? (signal as string))
    })
  })
  cleanups.push(() => {
    child.kill('SIGKILL')
    // A stream that nobody reads does not end by itself.
    child.stdout?.destroy()
    child.stderr?.destroy()
    return ended
  })
  return {
    pid: child.pid!,
    stdout: () => stdout,
    stderr: () => stderr,
    ended,
    waitFor: (text) => until(`"${text}"`, () => stdout.includes(text) || stderr.includes(text)),
    logged,
    address: async (server, fields) => addressOf(await logged('listening', { server, ...fields })),
    kill: (signal) => void child.kill(signal),
    close: (stream) => void child[stream]?.destroy(),
    pause: () => void child.stdout?.pause(),
    resume: () => void child.stdout?.resume(),
  }
}

/** Runs the command to its end. */
export async function runCommand(
  args: readonly string[],
  options?: ProcessOptions,
): Promise<{ code: number | string; stdout: string; stderr: string }> {
  const command = startCommand(args, options)
  const code = await command.ended
  return { code, stdout: command.stdout(), stderr: command.stderr() }
}

export interface Folder {
  readonly path: (file: string) => string
  readonly remove: () => Promise<void>
}

/** A folder of its own with the given files in it, until the test has ended. */
export async function temporaryFolder(files: Readonly<Record<string, string>>): Promise<Folder> {
  const folder = await makeFolder(files)
  cleanups.push(folder.remove)
  return folder
}

/** The same for several tests: whoever makes it removes it. */
export async function makeFolder(files: Readonly<Record<string, string>>): Promise<Folder> {
  const folder = await mkdtemp(join(tmpdir(), 'heka-pipeline-'))
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, file)), { recursive: true })
    await writeFile(join(folder, file), text)
  }
  return { path: (file) => join(folder, file), remove: () => rm(folder, { recursive: true, force: true }) }
}
