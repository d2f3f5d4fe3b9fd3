import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { ConfigError, errorMessage } from '../errors.ts'
import { forbidExit, placesOf, stackOf } from '../process_exit.ts'
import { version } from '../pipeline/own_files.ts'
import { visible } from '../text/terminal.ts'
import { end, ExitCode, problemText } from './exit.ts'
import type { ExplainOptions } from './explain.ts'
import type { InitOptions } from './init.ts'
import type { ConfigOptions } from './options.ts'
import type { QueueAction } from './queue.ts'
import { exitCodeOf, onSignal } from './signals.ts'

/*
 * The heka-pipeline command. Each subcommand has a file of its own, loaded when the subcommand is run.
 */

function append(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value]
}

function override(value: string, previous?: readonly string[]): readonly string[] {
  if (!/^[^=]+=/.test(value)) throw new InvalidArgumentError('It must be PATH=VALUE.')
  return append(value, previous)
}

function withConfig(command: Command): Command {
  return (
    command
      .option(
        '-c, --config <file>',
        'YAML file; may be given several times, later files are merged over earlier ones',
        append,
      )
      .option(
        '-s, --set <path=value>',
        'overrides one setting, such as exporters.debug.format=otlp_json; repeatable',
        override,
      )
      .option(
        '--from-env',
        'builds the configuration from the variables of the Heka Insights Agent; --config files are merged over it',
      )
      .option('--variables-file <file>', 'a file of variables, for those that the environment does not set')
      // The old name of the option: Node.js has one of the same name, and answers itself if the file is missing.
      .addOption(new Option('--env-file <file>').hideHelp())
  )
}

type GivenOptions = Partial<ConfigOptions> & { readonly envFile?: string }

/** The options given before the name of a subcommand, then its own. */
function configOptions(own: GivenOptions): ConfigOptions {
  const given = [...new Set([program.opts<GivenOptions>(), own])]
  return {
    config: given.flatMap(({ config = [] }) => config),
    set: given.flatMap(({ set = [] }) => set),
    fromEnv: given.some(({ fromEnv = false }) => fromEnv),
    variablesFile: given.map(({ variablesFile, envFile }) => variablesFile ?? envFile).findLast(Boolean),
  }
}

const text = ['text', 'json'] as const
const formatOption = (): Option =>
  new Option('-f, --format <format>', 'how the result is written').choices(text).default('text')

const program = withConfig(new Command('heka-pipeline'))
  .description(
    'Runs the telemetry pipeline declared in a YAML file. Without --config, it shows the metrics of this host in the terminal.',
  )
  .version(version)
  .option('--once', 'collects twice, a second apart, delivers and exits: with 0 if everything was sent, otherwise 1')
  .enablePositionalOptions()
  .passThroughOptions()
  .allowExcessArguments()
  .showSuggestionAfterError()
  .exitOverride()
  .hook('preSubcommand', (_program, command) => {
    const known = command.options.map((option) => option.attributeName())
    const other = Object.keys(program.opts()).find((option) => !known.includes(option))
    if (other !== undefined) program.error(`error: ${command.name()} does not take --${other}`)
  })
  .hook('preAction', async (_program, command) => {
    const excess = command.args.at(command.registeredArguments.length)
    if (excess !== undefined) await refuse(command, excess)
    // A running pipeline handles the signal itself; all other commands end as if the signal had killed them.
    if (command !== program) onSignal((signal) => void end(exitCodeOf(signal)))
  })
  .action(async ({ once = false }: { once?: boolean }) => {
    const { run } = await import('./run.ts')
    process.exitCode = await run({ ...configOptions(program.opts()), once }, version)
    // Everything is counted by now: an output that is no longer read must not keep the process.
    const { systemClock } = await import('../time/clock.ts')
    systemClock.setTimeout(() => void end(), 1000).unref()
  })

/** @throws CommanderError that suggests what an extra argument may have been meant for */
async function refuse(command: Command, excess: string): Promise<never> {
  const isFile = /\.ya?ml$/.test(excess)
  if (command === program && !isFile) {
    const { closest } = await import('../pipeline/config/suggest.ts')
    const names = program.commands.map((known) => known.name())
    const meant = closest(excess, names)
    const suggestion = meant === undefined ? '' : ` (did you mean "${meant}"?)`
    return program.error(`error: unknown command "${excess}"; known commands: ${names.join(', ')}${suggestion}`)
  }
  const takesConfig = command.options.some(({ long }) => long === '--config')
  const suggestion = isFile && takesConfig ? `; did you mean --config ${excess}?` : ''
  return command.error(`error: ${command.name()} does not take "${excess}"${suggestion}`)
}

withConfig(program.command('validate'))
  .description('checks a configuration and reports every mistake')
  .addOption(formatOption())
  .action(async ({ format, ...options }: Partial<ConfigOptions> & { format: 'text' | 'json' }) => {
    const { validate } = await import('./validate.ts')
    process.exitCode = await validate({ ...configOptions(options), format })
  })

withConfig(program.command('print-config'))
  .description('prints the merged configuration with secrets hidden')
  .action(async (options: Partial<ConfigOptions>) => {
    const { printEffectiveConfig } = await import('./print_config.ts')
    await printEffectiveConfig(configOptions(options))
  })

program
  .command('init')
  .description('writes a configuration to start from; in a terminal, asks for missing options')
  .option('--preset <preset>', 'agent (the default), sidecar or gateway')
  .option('--exporter <type>', 'datadog_native (the default), datadog_otlp, newrelic_otlp or otlp_http')
  .option('--site <site>', 'the Datadog site of the account')
  .option('--endpoint <url>', 'the address to send to')
  .option('--api-key <key>', 'the key as it will stand in the file; by default a reference to an environment variable')
  .option('--check-key', 'checks the key with Datadog', false)
  .option('-o, --output <file>', 'the file to write', 'pipeline.yaml')
  .option('--force', 'overwrites an existing file', false)
  .action(async (options: InitOptions) => {
    const { init } = await import('./init.ts')
    process.exitCode = await init(options)
  })

program
  .command('components')
  .description('lists the components; with a type, shows its settings and examples')
  .argument('[type]', 'the component to show')
  .addOption(formatOption())
  .action(async (type: string | undefined, options: { format: 'text' | 'json' }) => {
    const { showComponents } = await import('./components.ts')
    process.exitCode = await showComponents(type, options.format)
  })

program
  .command('schema')
  .description('prints the JSON Schema of the configuration, for editors')
  .action(async () => {
    const { printSchema } = await import('./schema.ts')
    await printSchema()
  })

program
  .command('queue')
  .description('shows, exports or drops batches in sending queues on disk')
  .addArgument(new Argument('<action>', 'the action').choices(['list', 'inspect', 'export', 'drop']))
  .argument('<directory>', 'a `sending_queue.directory`, or the folder of one exporter in it')
  .action(async (action: QueueAction, directory: string) => {
    const { queueCommand } = await import('./queue.ts')
    process.exitCode = await queueCommand(action, directory)
  })

withConfig(program.command('explain'))
  .description('shows what each exporter would send, and why, from one collection or from a file; sends nothing')
  .addOption(new Option('--from <file>', 'OTLP/JSON: one document, or one request per line, read in order'))
  .addOption(new Option('--once', 'collects twice, a second apart, as without --from').conflicts('from'))
  .option('--only <name>', 'only data sent under this metric name or made from that metric; * matches any text')
  .addOption(formatOption())
  .action(async ({ from, only, format, ...options }: Partial<ConfigOptions> & ExplainOptions) => {
    const { explain } = await import('./explain.ts')
    process.exitCode = await explain({ ...configOptions(options), from, only, format })
  })

let hasFailed = false

process.on('uncaughtException', (error) => {
  // A running pipeline has a listener of its own, which stops it.
  if (process.listenerCount('uncaughtException') > 1 || hasFailed) return
  hasFailed = true
  void moduleIn(stackOf(error)).then((place) => {
    writeFault(error, place)
    process.exit(ExitCode.software)
  })
})

// It throws; an uncaught error is such a failure.
forbidExit(() => undefined)

/** The position in a custom module that a stack leads to. */
async function moduleIn(stack: string): Promise<string | undefined> {
  const { customModules } = await import('../pipeline/modules/load.ts')
  const modules = customModules()
  const place = placesOf(stack).find(({ file }) => modules.some(({ holds }) => holds(file)))
  return place && place.file + place.position
}

/** Without the stack, which does not help the author of the configuration. */
function writeFault(error: unknown, place?: string): void {
  const where = place === undefined ? '' : `${place}: `
  process.stderr.write(`heka-pipeline: ${visible(where + errorMessage(error))}\n`)
}

for (const stream of [process.stdout, process.stderr]) {
  // The reader of our output has gone, as in `| head`, or its disk is full. A pipeline may have other destinations and
  // goes on; the exporter that writes to standard output handles the error itself.
  stream.on('error', () => undefined)
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? ExitCode.ok : ExitCode.usage
  } else if (error instanceof ConfigError) {
    process.stderr.write(problemText(error.problems))
    process.exitCode = ExitCode.config
  } else {
    writeFault(error)
    process.exitCode = ExitCode.software
  }
}

// The process ends once the output is written: a timer started by a module does not keep it alive.
process.stdout.write('', () => process.stderr.write('', () => void end()))
