import { describe, expect, it } from '@jest/globals'
import { systemClock } from '../../src/time/clock.ts'
import { componentLogger, createLogger } from '../../src/pipeline/log.ts'
import { throttled } from '../../src/throttled.ts'

async function logger(encoding: 'console' | 'json', secrets: string[] = []) {
  const lines: string[] = []
  const log = createLogger({ level: 'info', encoding }, secrets, { write: (line) => lines.push(line) })
  return { log, lines }
}

describe('the log', () => {
  it('is a JSON object a line, with level, time, component, message and fields', async () => {
    const { log, lines } = await logger('json')
    componentLogger(log, 'debug/one').warn('Something is odd.', { points: 3 })
    log.debug('Nobody wants to know.')
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0])).toEqual({
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      component: 'debug/one',
      msg: 'Something is odd.',
      points: 3,
    })
  })

  it('is a readable line when it is for people', async () => {
    const { log, lines } = await logger('console')
    componentLogger(log, 'debug/one').error('Something broke.', { points: 3 })
    expect(lines).toEqual([
      expect.stringMatching(/^\[\d\d:\d\d:\d\d\] ERROR: debug\/one: Something broke\. \{"points":3\}\n$/),
    ])
  })

  it.each(['console', 'json'] as const)('never shows a secret, wherever it stands (%s)', async (encoding) => {
    const { log, lines } = await logger(encoding, ['s3cr"et', 'other'])
    log.error('The key s3cr"et was refused.', {
      error: 'header DD-API-KEY: s3cr"et',
      nested: { key: ['s3cr"et', 'other'] },
    })
    expect(lines.join('')).not.toMatch(/s3cr|other/)
    expect(lines.join('').match(/\[REDACTED\]/g)).toHaveLength(4)
  })

  it.each(['console', 'json'] as const)(
    'never shows a character that steers a terminal as it came (%s)',
    async (encoding) => {
      const { log, lines } = await logger(encoding, ['se\u009bcret'])
      const odd = 'a\u001b[31m\r\n[00:00:00] INFO: b\u007f\u0085\u009b2J\u202e\u2066\u2028\u{e0001}\\n"'
      componentLogger(log, odd).warn(odd, { [odd]: [odd, 'se\u009bcret'], error: odd })
      const written = lines.join('')
      expect(written.replaceAll('\n', '')).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u)
      expect(written.indexOf('\n')).toBe(written.length - 1)
      expect(written).toContain('\\u009b2J\\u202e\\u2066\\u2028\\udb40\\udc01')
      expect(written).toContain('[REDACTED]')
      if (encoding === 'json') expect(JSON.parse(written)).toMatchObject({ msg: odd, component: odd, error: odd })
    },
  )

  it('is written in another way, and hides other secrets, from when that is asked for', async () => {
    const secrets = new Set(['first'])
    const lines: string[] = []
    const log = createLogger({ level: 'info', encoding: 'json' }, secrets, { write: (line) => lines.push(line) })
    const component = componentLogger(log, 'debug')
    component.debug('not shown')
    secrets.add('second')
    log.configure({ level: 'debug', encoding: 'console' })
    component.debug('first and second')
    expect(lines).toEqual([expect.stringMatching(/DEBUG: debug: \[REDACTED\] and \[REDACTED\]\n$/)])
  })

  it('says the same thing once a minute while it is throttled, whatever the error says', async () => {
    const { log, lines } = await logger('json')
    const quiet = throttled(log, systemClock)
    for (let index = 0; index < 5; index += 1) quiet.error('It failed.', { error: `request ${index} failed` })
    quiet.error('Something else failed.', { error: 'request 0 failed' })
    const messages = lines.map((line) => JSON.parse(line) as { msg: string; error: string })
    expect(messages).toMatchObject([
      { msg: 'It failed.', error: 'request 0 failed' },
      { msg: 'Something else failed.', error: 'request 0 failed' },
    ])
  })
})
