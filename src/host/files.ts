import { readFileSync } from 'node:fs'
import type { HostFiles } from './inventory.ts'

/** The files below a folder; by default those this process sees. */
export function hostFiles(folder = ''): HostFiles {
  const text = (path: string): string => readFileSync(`${folder}/${path}`, 'utf8')
  return {
    isOwn: folder === '',
    text,
    optionalText(path) {
      try {
        return text(path)
      } catch {
        return undefined
      }
    },
  }
}
