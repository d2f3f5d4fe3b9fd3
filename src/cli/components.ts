import type { Component } from '../component/define.ts'
import { signalsOf } from '../pipeline/config/pipelines.ts'
import { isNameOf, listBuiltins } from '../pipeline/modules/load.ts'
import { ExitCode } from './exit.ts'
import { componentPage } from './pages.ts'

/** Lists the components, or shows those of one type with their settings and examples. Returns the exit code. */
export async function showComponents(type: string | undefined, format: 'text' | 'json'): Promise<number> {
  const all = await listBuiltins()
  const chosen = type === undefined ? all : all.filter((component) => isNameOf(type, component))
  if (chosen.length === 0) {
    process.stderr.write(`Unknown component "${type}". Known components: ${all.map((one) => one.type).join(', ')}.\n`)
    return ExitCode.usage
  }
  if (format === 'json') process.stdout.write(`${JSON.stringify(chosen.map(declaration), null, 2)}\n`)
  else if (type === undefined) process.stdout.write(list(chosen))
  else process.stdout.write(chosen.map(componentPage).join('\n'))
  return ExitCode.ok
}

/** The declaration of a component, without its functions; `undefined` defaults (optional settings) are left out. */
function declaration(component: Component): object {
  const { kind, type, summary, description, config, examples = [] } = component
  return { kind, type, signals: signalsOf(component), summary, description, config, examples }
}

function list(components: readonly Component[]): string {
  const width = Math.max(...components.map(({ type }) => type.length))
  return (['receiver', 'processor', 'exporter'] as const)
    .map((kind) => {
      const rows = components.filter((component) => component.kind === kind)
      return `${kind}s\n${rows.map(({ type, summary }) => `  ${type.padEnd(width)}  ${summary}\n`).join('')}`
    })
    .join('\n')
}
