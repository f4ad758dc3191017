/** The element of an id, which has to be of a type. */
export function element<T extends Element>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`no element ${id}`);
  }
  return found;
}
