import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it, jest } from '@jest/globals'
import { request } from 'undici'
import { json, serve } from '../../src/http/serve.ts'

afterEach(() => {
  jest.useRealTimers()
})

it('listens as soon as another process has left its port', async () => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance', 'Date'] })
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const errors: string[] = []
  const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void errors.push(message) }
  let close: (() => void) | undefined
  const listening = new Promise<string>((resolve) => {
    const options = { setting: 'service.health.address', address: `127.0.0.1:${port}`, listening: resolve, log }
    void serve({ ...options, answer: () => json(200, 'here') }).then((closing) => (close = closing))
  })
  while (close === undefined) await new Promise((resolve) => setImmediate(resolve))
  const [error] = errors
  expect(error).toContain(`cannot listen on 127.0.0.1:${port}: another process listens there already`)
  await new Promise((resolve) => other.close(resolve))
  jest.advanceTimersByTime(10_000)
  await expect(listening).resolves.toBe(`127.0.0.1:${port}`)
  jest.useRealTimers()
  const { body } = await request(`http://127.0.0.1:${port}/`)
  expect(await body.json()).toBe('here')
  expect(errors).toEqual([error])
  close()
  await expect(request(`http://127.0.0.1:${port}/`)).rejects.toThrow('ECONNREFUSED')
})
