import { describe, expect, it } from '@jest/globals'
import { recordTable } from '../../src/exporters/debug/records.ts'
import { spanTable } from '../../src/exporters/debug/spans.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { LogBatch } from '../../src/otlp/logs/batch.ts'
import { TraceBatch } from '../../src/otlp/traces/batch.ts'
import { logRecord, span } from '../../src/testing.ts'
import { atOnce } from '../../src/time/turns.ts'

const TIME = 1_700_000_000_250_000_000n
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
/** Times are local. */
const anyTime = (table: string): string => table.replaceAll(/\d\d:\d\d:\d\d\.250/g, 'hh:mm:ss.250')

describe('the table of log records', () => {
  const at = { timeUnixNano: TIME }
  const batch = LogBatch.of(
    {
      resource: { 'host.name': 'web-1', note: 'two words' },
      records: [
        logRecord(
          'GET /users was answered with 200',
          { 'http.route': '/users' },
          { ...at, severityText: 'Info', traceId: TRACE, spanId: SPAN },
        ),
        logRecord(
          'It failed:\n  at line 1\u001b[2J',
          {},
          { timeUnixNano: 0n, observedTimeUnixNano: TIME, severityNumber: 18 },
        ),
        logRecord({ status: 500, list: [1] }, {}, { ...at, eventName: 'request failed' }),
        logRecord(undefined, {}, { timeUnixNano: 0n }),
      ],
    },
    { resource: { 'host.name': 'empty' }, records: [] },
  )

  it('shows resources once, and of each record time, severity, body and what else it has', () => {
    expect(anyTime(atOnce(recordTable(batch, 80)))).toBe(
      [
        'host.name=web-1 note="two words"',
        'TIME          SEVERITY  BODY',
        'hh:mm:ss.250  Info      GET /users was answered with 200',
        `                        http.route=/users trace=${TRACE}`.slice(0, 80),
        `                        span=${SPAN}`,
        'hh:mm:ss.250  ERROR     It failed:',
        '                          at line 1\\u{1b}[2J',
        'hh:mm:ss.250  -         {"status":500,"list":[1]}',
        '                        event="request failed"',
        '-             -',
        '\n',
      ].join('\n'),
    )
  })

  it('goes on below where a body is wider than the terminal', () => {
    const long = LogBatch.of({ records: [logRecord('many words '.repeat(20).trim(), {}, at)] })
    const lines = atOnce(recordTable(long, 60)).trimEnd().split('\n')
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(60)
    expect(lines.join(' ').match(/many/g)).toHaveLength(20)
  })
})

describe('the table of spans', () => {
  it('shows resources once, and of each span time, duration, kind, status, name and what else it has', () => {
    const batch = TraceBatch.of({
      resource: { 'service.name': 'shop' },
      spans: [
        span(
          'GET /users/{id}',
          { 'http.route': '/users/{id}' },
          {
            ...{ traceId: TRACE, spanId: SPAN, parentSpanId: SPAN, kind: 'server' },
            ...{ startTimeUnixNano: TIME, endTimeUnixNano: TIME + 13_700_000n },
            status: { code: 'error', message: 'no such user' },
            events: [
              {
                timeUnixNano: TIME + 2_000_000n,
                name: 'cache.miss',
                attributes: Attributes.of({ 'cache.name': 'users' }),
              },
            ],
            links: [{ traceId: TRACE, spanId: SPAN, attributes: Attributes.of({ why: 'retry' }) }],
          },
        ),
        span('job', {}, { traceId: '', spanId: '', startTimeUnixNano: TIME, endTimeUnixNano: TIME + 90_000_000_000n }),
        span('open', {}, { traceId: '', spanId: '', startTimeUnixNano: TIME, endTimeUnixNano: 0n }),
      ],
    })
    expect(anyTime(atOnce(spanTable(batch, 120)))).toBe(
      [
        'service.name=shop',
        'TIME          DURATION  KIND    STATUS  NAME',
        'hh:mm:ss.250  13.7 ms   server  error   GET /users/{id}',
        '                                        no such user',
        `                                        http.route=/users/{id} trace=${TRACE}`,
        `                                        span=${SPAN} parent=${SPAN}`,
        '                                        event +2 ms cache.miss cache.name=users',
        `                                        link trace=${TRACE} span=${SPAN} why=retry`,
        'hh:mm:ss.250  90 s      -       unset   job',
        'hh:mm:ss.250  -         -       unset   open',
        '\n',
      ].join('\n'),
    )
  })
})
