import { isatty } from 'node:tty'
import { systemClock } from '../time/clock.ts'
import { loadConfig } from '../pipeline/config/config.ts'
import type { PipelineConfig } from '../pipeline/config/config.ts'
import type { Profile } from '../pipeline/config/settings.ts'
import { profileOf } from '../pipeline/config/profile.ts'
import { createLogger } from '../pipeline/log.ts'
import { startPipeline } from '../pipeline/pipeline.ts'
import { crash } from './crash.ts'
import { end, ExitCode } from './exit.ts'
import { configInput } from './options.ts'
import type { ConfigOptions } from './options.ts'
import { AGENT_FLAGS, hasAgentFlags } from './profile.ts'
import { reloader } from './reload.ts'
import { Servers } from './servers.ts'
import { exitCodeOf, onSignal } from './signals.ts'
import type { Signal } from './signals.ts'
import { watchdog } from './watchdog.ts'

/**
 * Runs a pipeline until SIGTERM or SIGINT, or until its receivers have ended, and reloads its configuration on SIGHUP.
 * Returns the exit code. A second signal ends the process at once. SIGHUP stops the process if there is nothing to
 * reload, with `once` and on Windows, and if the terminal that it was started from has closed. A failure outside every
 * call of the pipeline also stops it.
 * @throws ConfigError
 */
export async function run(options: ConfigOptions & { once: boolean }, version: string): Promise<number> {
  const { once } = options
  let begin: (reload: () => unknown) => void
  const begun = new Promise<() => unknown>((resolve) => (begin = resolve))
  let sayEnd: (second: Signal) => void = () => undefined
  const asked = firstSignal({
    once,
    reload: () => void begun.then((reload) => reload()),
    sayEnd: (second) => sayEnd(second),
  })
  const watch = watchdog()
  const load = async () => {
    const config = await loadConfig(await configInput(options))
    await watch(config.service)
    return config
  }
  const config = await Promise.race([load(), asked])
  if (typeof config === 'string') return ExitCode.ok
  const secrets = new Set(config.secrets)
  const log = createLogger(config.service.telemetry.logs, secrets)
  sayEnd = (second) =>
    log.warn(`${second} came while the process was stopping, which ends at once; what waits in memory only is lost.`)
  const profile = profileIn(config)
  for (const { path, message } of config.warnings) log.warn(path === '' ? message : `${path}: ${message}`)
  const pipeline = startPipeline(config, { log, once })
  const crashed = crash(log, pipeline)
  const ended = pipeline.ended.catch(async (error: unknown) => {
    await pipeline.stop()
    throw error
  })
  const reload = reloader({
    ...{ load, pipeline, log, secrets },
    atNextStart: (next) => (profileIn(next) === profile ? [] : [`service.profile, now ${profileIn(next)},`]),
    configure: async ({ service }) => {
      log.configure(service.telemetry.logs)
      await servers.configure(service)
    },
  })
  const servers = new Servers({ pipeline, secrets, reload, log })
  // The process that has the directories of the queues is the one that answers that it runs.
  const serving = pipeline.opened.then(
    () => {
      log.info(`heka-pipeline ${version} has started`, {
        event: 'started',
        pipelines: [...config.pipelines.keys()].join(', '),
        profile,
      })
      if (!once && profile === 'agent' && !hasAgentFlags) log.info(flagsMissing(), { event: 'profile_flags' })
      if (profile === 'gateway' && hasAgentFlags) log.warn(TOO_SLOW, { event: 'profile_flags' })
      return once ? undefined : servers.configure(config.service)
    },
    () => undefined,
  )
  begin!(reload)
  const reason = await Promise.race([ended, asked, crashed])
  if (typeof reason === 'string' && reason !== 'crashed')
    log.info(`Stopping on ${reason}; a second signal ends at once.`, { event: 'stopping', signal: reason })
  await pipeline.stop()
  // A server that does not listen yet, because its name is being resolved, is not waited for.
  await Promise.race([serving.then(() => servers.close()), systemClock.sleep(100)])
  if (reason === 'crashed') return ExitCode.software
  if (typeof reason === 'string') return ExitCode.ok
  return reason.failed || (once && !pipeline.telemetry.allSent) ? ExitCode.failure : ExitCode.ok
}

function profileIn({ service, receivers }: PipelineConfig): Profile {
  return profileOf(service.profile, receivers.keys())
}

/** The message if the process could not start itself with the flags of the profile `agent`. */
function flagsMissing(): string {
  return `The profile is agent, but Node.js ${process.version} was started without the flags for it. Start it with: node ${AGENT_FLAGS.join(' ')} ${process.argv[1]}`
}

const TOO_SLOW =
  'Node.js was started with the flags of an agent, but the profile is gateway, which handles a tenth of the data with them.'

interface Signals {
  readonly once: boolean
  readonly reload: () => void
  readonly sayEnd: (second: Signal) => void
}

/**
 * Resolves with the first signal to stop. The second one ends the process after a call of `sayEnd`, and every hang-up
 * that is not a signal to stop calls `reload`.
 */
function firstSignal({ once, reload, sayEnd }: Signals): Promise<Signal> {
  const terminal = isatty(0)
  const stopsOnHangUp = (): boolean => once || process.platform === 'win32' || (terminal && !isatty(0))
  return new Promise((resolve) => {
    let received = false
    onSignal((signal) => {
      if (signal === 'SIGHUP' && !stopsOnHangUp()) return reload()
      if (received) {
        sayEnd(signal)
        void end(exitCodeOf(signal))
      }
      received = true
      resolve(signal)
    })
  })
}
