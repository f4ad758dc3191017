// Made of /openapi.json by `make generate`: do not edit.

export type Acceptance = {
  accepted?: string[];
  expire_time?: string;
  players?: number;
  proposal_id?: string;
};

export type Attribute = { number: number } | { string: string } | { string_list: StringList } | { string_number_map: StringNumberMap };

export type CreateTicketRequest = {
  party?: PartyRequest;
  players?: Player[];
  queue: string;
  region?: string;
};

export type JoinPartyRequest = {
  code: string;
  player?: Player;
};

export type JoinToken = {
  expire_time: string;
  jwt: string;
};

export type ListRegionsResponse = {
  regions?: Region[];
};

export type ListTicketsResponse = {
  tickets?: Ticket[];
};

export type Party = {
  code?: string;
  expire_time?: string;
  leader: string;
  missing?: string[];
  size: number;
};

export type PartyRequest = {
  invited?: string[];
  size?: number;
};

export type Player = {
  attributes?: Record<string, Attribute>;
  id?: string;
  latencies?: Record<string, number>;
};

/** Problem details (RFC 9457). */
export type Problem = {
  detail?: string;
  errors?: {
    field?: string;
    rule?: string;
  }[];
  reason?: string;
  status: number;
  ticket_id?: string;
  title: string;
  type: string;
};

export type Region = {
  http?: string;
  name: string;
  udp?: string;
};

export type RemovePlayerResponse = Record<string, never>;

export type Server = {
  connection: string;
  ip: string;
  match_id?: string;
  port?: number;
  ports?: Record<string, number>;
  team?: string;
};

export type StringList = {
  values?: string[];
};

export type StringNumberMap = {
  values?: Record<string, number>;
};

export type Ticket = {
  acceptance?: Acceptance;
  create_time: string;
  estimated_wait_ms?: number;
  id: string;
  join_token?: JoinToken;
  party?: Party;
  players: Player[];
  queue: string;
  reason?: string;
  region?: string;
  server?: Server;
  state: "SEARCHING" | "ASSIGNED" | "CANCELLED" | "EXPIRED" | "GATHERING" | "ACCEPTING";
  update_time: string;
};

/** What a call sends beside its method and path. */
export interface Sent {
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string | undefined>;
  body?: unknown;
}

/** The calls that are answered with JSON. */
export abstract class Operations {
  protected abstract call<T>(method: string, path: string, sent?: Sent): Promise<T>;

  /** Search, wait and answer in one call. */
  play(region: string, query: { latency?: number; skill?: number } = {}): Promise<{
    jwt?: string;
    player: {
      latency: number;
      region: string;
      skill: number;
    };
    reason?: string;
    server?: {
      connection: string;
      ip: string;
      port: number;
    };
    status: "matched" | "timeout";
    ticket_id: string;
  }> {
    return this.call("GET", `/play/${encodeURIComponent(region)}`, { query });
  }

  /** Join a party by its code. */
  joinParty(body: JoinPartyRequest): Promise<Ticket> {
    return this.call("POST", `/v1/parties/join`, { body });
  }

  /** List the regions, and where latencies to them are measured. */
  listRegions(): Promise<ListRegionsResponse> {
    return this.call("GET", `/v1/regions`);
  }

  /** Where am I? The caller's tickets. */
  listTickets(): Promise<ListTicketsResponse> {
    return this.call("GET", `/v1/tickets`);
  }

  /** Search for a match. */
  createTicket(body: CreateTicketRequest, headers: { "Idempotency-Key"?: string } = {}): Promise<Ticket> {
    return this.call("POST", `/v1/tickets`, { body, headers });
  }

  /** Cancel a ticket. */
  cancelTicket(id: string): Promise<Ticket> {
    return this.call("DELETE", `/v1/tickets/${encodeURIComponent(id)}`);
  }

  /** Read a ticket. */
  getTicket(id: string): Promise<Ticket> {
    return this.call("GET", `/v1/tickets/${encodeURIComponent(id)}`);
  }

  /** Accept the match that is proposed. */
  acceptTicket(id: string, query: { proposal_id?: string } = {}): Promise<Ticket> {
    return this.call("POST", `/v1/tickets/${encodeURIComponent(id)}/accept`, { query });
  }

  /** Decline the match that is proposed: ends the ticket. */
  declineTicket(id: string, query: { proposal_id?: string } = {}): Promise<Ticket> {
    return this.call("POST", `/v1/tickets/${encodeURIComponent(id)}/decline`, { query });
  }

  /** Make another join token. */
  createJoinToken(id: string): Promise<JoinToken> {
    return this.call("POST", `/v1/tickets/${encodeURIComponent(id)}/join-token`);
  }

  /** Leave a ticket, or remove a player from the party. */
  removePlayer(id: string, player: string): Promise<RemovePlayerResponse> {
    return this.call("DELETE", `/v1/tickets/${encodeURIComponent(id)}/players/${encodeURIComponent(player)}`);
  }

  /** Search with those of the party who are there. */
  startTicket(id: string): Promise<Ticket> {
    return this.call("POST", `/v1/tickets/${encodeURIComponent(id)}/start`);
  }

  /** Wait for the end of a ticket. */
  waitTicket(id: string, query: { timeout?: string } = {}): Promise<Ticket> {
    return this.call("GET", `/v1/tickets/${encodeURIComponent(id)}/wait`, { query });
  }
}
