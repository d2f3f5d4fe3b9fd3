import { describe, expect, it } from '@jest/globals'
import { chooseAttributes, DEFAULT_EXCLUDE, resourceTags, tagKey } from '../../src/datadog/resource_attributes.ts'
import { Attributes } from '../../src/otlp/attributes.ts'

const all = (): boolean => true

function tagsOf(attributes: Record<string, string>, host?: string): Record<string, string> {
  return Object.fromEntries(resourceTags(Attributes.of(attributes), all, host))
}

describe('resourceTags', () => {
  it('prefers an attribute with the name of the tag to one that Datadog translates to it', () => {
    expect(tagsOf({ 'deployment.environment': 'old', env: 'mine' })).toEqual({ env: 'mine' })
    expect(tagsOf({ env: 'mine', 'deployment.environment': 'old' })).toEqual({ env: 'mine' })
  })

  it('prefers the newer of two names, and OpenTelemetry to container tags', () => {
    expect(tagsOf({ 'deployment.environment': 'old', 'deployment.environment.name': 'new' })).toEqual({ env: 'new' })
    expect(tagsOf({ 'datadog.container.tag.service': 'tag', 'service.name': 'otel' })).toEqual({ service: 'otel' })
  })

  it('leaves out what became the host, and keeps another name of it', () => {
    expect(tagsOf({ 'host.name': 'web-1', 'host.id': 'i-1' }, 'i-1')).toEqual({ 'host.name': 'web-1' })
    expect(
      tagsOf({ host: 'web-1', 'datadog.host.name': 'x', 'datadog.host.use_as_metadata': 'true' }, 'web-1'),
    ).toEqual({})
  })

  it('keeps a tag that happens to have the value of the host', () => {
    expect(tagsOf({ 'host.name': 'shop', 'service.name': 'shop' }, 'shop')).toEqual({ service: 'shop' })
  })
})

describe('tagKey', () => {
  it('translates by the table and leaves other names alone', () => {
    expect(['service.name', 'k8s.pod.name', 'datadog.container.tag.rack', 'team'].map(tagKey)).toEqual([
      'service',
      'pod_name',
      'rack',
      'team',
    ])
  })
})

describe('chooseAttributes', () => {
  it('takes * for any text and everything else as it stands', () => {
    const chosen = chooseAttributes({ include: ['a.*', 'b+', '*.c'], exclude: ['a.secret'] })
    const names = ['a.b', 'a.b.c', 'ab', 'a.secret', 'b+', 'bb', 'x.c', 'xc']
    expect(names.filter(chosen)).toEqual(['a.b', 'a.b.c', 'b+', 'x.c'])
  })

  it('takes nothing for an empty list', () => {
    expect(['a', ''].filter(chooseAttributes({ include: [], exclude: [] }))).toEqual([])
    expect(['a', 'b'].filter(chooseAttributes({ include: ['*'], exclude: [] }))).toEqual(['a', 'b'])
  })

  it('leaves out by default only what tells no two senders apart', () => {
    const chosen = chooseAttributes({ include: ['*'], exclude: DEFAULT_EXCLUDE })
    const kept = ['service.instance.id', 'process.pid', 'container.id', 'k8s.pod.uid', 'host.id', 'os.type']
    expect(kept.filter(chosen)).toEqual(kept)
    expect(['telemetry.sdk.name', 'process.command_args', 'host.mac'].filter(chosen)).toEqual([])
  })
})
