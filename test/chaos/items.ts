import type { Type } from 'protobufjs'
import type { Signal } from '../../src/otlp/signal.ts'
import { ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest } from '../kit/otlp_proto.ts'

/** How the reference writes requests of a signal: each resource, scope and list of items under its name there. */
const forms: Readonly<Record<Signal, { readonly type: Type; readonly names: readonly [string, string, string] }>> = {
  metrics: { type: ExportMetricsServiceRequest, names: ['resourceMetrics', 'scopeMetrics', 'metrics'] },
  logs: { type: ExportLogsServiceRequest, names: ['resourceLogs', 'scopeLogs', 'logRecords'] },
  traces: { type: ExportTraceServiceRequest, names: ['resourceSpans', 'scopeSpans', 'spans'] },
}

/** A request of these metrics, log records or spans. */
export function requestOf(signal: Signal, items: readonly object[]): Uint8Array {
  const { type, names } = forms[signal]
  const [resources, scopes, list] = names
  return type.encode(type.fromObject({ [resources]: [{ [scopes]: [{ [list]: items }] }] })).finish()
}

/** A metric of one data point, a log record or a span that carries a number. */
export function itemOf(signal: Signal, number: number): object {
  const now = String(BigInt(Date.now()) * 1_000_000n)
  switch (signal) {
    case 'metrics':
      return { name: 'chaos', gauge: { dataPoints: [{ asDouble: number, timeUnixNano: now }] } }
    case 'logs':
      return { timeUnixNano: now, body: { stringValue: `chaos ${number}` } }
    case 'traces':
      return { name: `chaos ${number}`, startTimeUnixNano: now, endTimeUnixNano: now }
  }
}

const NUMBERS = /"asDouble":(\d+)|"stringValue":"chaos (\d+)"|"name":"chaos (\d+)"/g

/** The numbers that the items of a decoded request carry, of whichever signal they are. */
export function numbersIn(body: unknown): number[] {
  return Array.from(JSON.stringify(body).matchAll(NUMBERS), (match) => Number(match[1] ?? match[2] ?? match[3]))
}
