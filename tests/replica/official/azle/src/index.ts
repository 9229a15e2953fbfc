// What a canister written in TypeScript asks of the IC.
import {
    IDL, Principal, StableBTreeMap, call, canisterCycleBalance, canisterSelf, certifiedDataSet, dataCertificate,
    init, inspectMessage, msgCaller, msgCyclesAccept, msgCyclesAvailable, msgReject, postUpgrade, preUpgrade,
    query, setTimerInterval, trap, update
} from 'azle';

const Words = IDL.Vec(IDL.Text);

export default class {
    words = new StableBTreeMap<number, string>(0);
    rings = 0;

    say(word: string): bigint {
        this.words.insert(this.words.len(), word);
        return BigInt(this.words.len());
    }

    @init([IDL.Text])
    start(greeting: string): void {
        this.say(greeting);
    }

    @preUpgrade
    leave(): void {
        this.say('leaving');
    }

    @postUpgrade([IDL.Text])
    arrive(word: string): void {
        this.say(word);
    }

    @inspectMessage
    inspect(methodName: string): boolean {
        return methodName !== 'forbidden';
    }

    @update([])
    forbidden(): void {}

    @update([IDL.Text], IDL.Nat64)
    add(word: string): bigint {
        return this.say(word);
    }

    @query([], Words)
    all(): string[] {
        return this.words.values();
    }

    @query([IDL.Principal], Words, { composite: true })
    async all_of(peer: Principal): Promise<string[]> {
        return await call(peer, 'all', { returnIdlType: Words });
    }

    @query([], IDL.Vec(IDL.Principal))
    whoami(): Principal[] {
        return [msgCaller(), canisterSelf()];
    }

    @query([], IDL.Nat)
    balance(): bigint {
        return canisterCycleBalance();
    }

    @update([IDL.Principal, IDL.Text], IDL.Nat64)
    async add_at(peer: Principal, word: string): Promise<bigint> {
        return await call<[string], bigint>(peer, 'add', {
            paramIdlTypes: [IDL.Text],
            returnIdlType: IDL.Nat64,
            args: [word]
        });
    }

    @update([], IDL.Nat)
    deposit(): bigint {
        return msgCyclesAccept(msgCyclesAvailable() / 2n);
    }

    @update([IDL.Principal, IDL.Nat], IDL.Nat)
    async pay(peer: Principal, cycles: bigint): Promise<bigint> {
        return await call(peer, 'deposit', { returnIdlType: IDL.Nat, cycles });
    }

    @update([IDL.Principal])
    async fail_after(peer: Principal): Promise<void> {
        this.say('before');
        await call(peer, 'all', { returnIdlType: Words });
        this.say('after');
        trap('as planned');
    }

    @update([IDL.Principal], IDL.Text)
    async failure_of(peer: Principal): Promise<string> {
        try {
            await call(peer, 'fail_after', { paramIdlTypes: [IDL.Principal], args: [canisterSelf()] });
            return 'none';
        } catch (error: any) {
            return `${error.rejectCode} ${error.rejectMessage}`;
        }
    }

    @update([], IDL.Empty, { manual: true })
    refusing(): void {
        msgReject('no, thanks');
    }

    @update([IDL.Nat64])
    ring(seconds: bigint): void {
        setTimerInterval(Number(seconds), () => {
            this.rings += 1;
        });
    }

    @query([], IDL.Nat64)
    alarms(): bigint {
        return BigInt(this.rings);
    }

    @update([IDL.Vec(IDL.Nat8)])
    certify(data: Uint8Array): void {
        certifiedDataSet(data);
    }

    @query([], IDL.Opt(IDL.Vec(IDL.Nat8)))
    certificate(): [Uint8Array] | [] {
        const certificate = dataCertificate();
        return certificate === undefined ? [] : [certificate];
    }

    @update([], IDL.Vec(IDL.Nat8))
    async random(): Promise<Uint8Array> {
        return await call('aaaaa-aa', 'raw_rand', { returnIdlType: IDL.Vec(IDL.Nat8) });
    }
}
