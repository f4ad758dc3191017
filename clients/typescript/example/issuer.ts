/** A game signs in where its players have accounts. The development issuer believes everybody. */
export async function signIn(issuer: string, player: string): Promise<string> {
  const answer = await fetch(`${issuer}/v1/player-tokens`, { method: "POST", body: JSON.stringify({ player }) });
  const body = (await answer.json()) as { token?: string; detail?: string };
  if (body.token === undefined) {
    throw new Error(body.detail ?? "the issuer gave no token");
  }
  return body.token;
}
