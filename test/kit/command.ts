import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from '@jest/globals'

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

const running = new Set<ChildProcess>()
afterAll(() => {
  // A test that failed must not leave its process behind.
  for (const child of running) child.kill('SIGKILL')
})

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
  running.add(child)
  let stdout = ''
  let stderr = ''
  let waiting: { text: string; resolve: () => void; reject: (error: Error) => void }[] = []
  const check = (): void => {
    waiting = waiting.filter(({ text, resolve }) => {
      if (!stdout.includes(text) && !stderr.includes(text)) return true
      resolve()
      return false
    })
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
      running.delete(child)
      for (const { text, reject } of waiting) reject(new Error(`The command ended without "${text}":\n${stderr}`))
      resolve(code ?? (signal as string))
    })
  })
  return {
    pid: child.pid as number,
    stdout: () => stdout,
    stderr: () => stderr,
    ended,
    waitFor: (text) =>
      new Promise((resolve, reject) => {
        waiting.push({ text, resolve, reject })
        check()
      }),
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

/** A folder of its own with the given files in it. */
export async function temporaryFolder(
  files: Readonly<Record<string, string>>,
): Promise<{ path: (file: string) => string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'heka-pipeline-'))
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, file)), { recursive: true })
    await writeFile(join(folder, file), text)
  }
  return { path: (file) => join(folder, file), remove: () => rm(folder, { recursive: true, force: true }) }
}
