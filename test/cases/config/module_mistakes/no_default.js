export const component = {}
